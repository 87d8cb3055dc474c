/* How a part of the pipeline is, read out of what poll.js knows. */
import {plain} from './words.js';

/** @typedef {'well'|'unknown'|'warn'|'wrong'} Level from the best to the worst */

/**
 * @typedef {object} Condition
 * @property {Level} level
 * @property {string} word
 * @property {string|null} [since] RFC 3339
 * @property {string[]} [reasons] for a person
 */

/** @typedef {import('./poll.js').State} State */

const LEVELS = ['well', 'unknown', 'warn', 'wrong'];

/** @type {Condition} */
export const UNTOLD = {
    level: 'unknown',
    word: 'not known',
};

/**
 * The worst of some; of equal ones the first.
 * @param {...Condition} conditions
 */
export function worst(...conditions) {
    return conditions.reduce(
        (one, other) => LEVELS.indexOf(other.level) > LEVELS.indexOf(one.level) ? other : one);
}

/**
 * What the gateway that answers tells of something that it depends on.
 * @param {{report: any, readiness?: any}} state
 * @param {string} name
 * @returns {any}
 */
export function dependency({report, readiness = null}, name) {
    const all = report?.dependencies ?? readiness?.dependencies ?? [];
    return all.find((/** @type {any} */ one) => one.name === name);
}

/**
 * How a server is, or something else that the gateway depends on.
 * @param {State} state
 * @param {string} name
 * @param {{up: string, down: string, level: Level}} [words]
 * @returns {Condition}
 */
export function server(state, name, words = {
    up: 'up',
    down: 'down',
    level: 'wrong',
}) {
    const one = dependency(state, name);
    if (one === undefined)
        return UNTOLD;
    if (one.status === 'up')
        return {level: 'well', word: words.up};
    return {
        level: words.level,
        word: words.down,
        since: one.since,
        reasons: one.reason ? [plain(one.reason)] : [],
    };
}

/**
 * @param {State} state
 * @param {string} service
 * @returns {any[]} of /api/admin/status
 */
export function replicas(state, service) {
    const all = state.report?.services ?? [];
    return all.filter((/** @type {any} */ one) => one.name === service);
}

/**
 * How the replicas of a service are.
 * @param {State} state
 * @param {string} service
 * @param {string} [noun] stands before the word when they are not well
 * @returns {Condition}
 */
export function services(state, service, noun = '') {
    const all = replicas(state, service);
    if (all.length === 0)
        return UNTOLD;
    const bad = all.filter(one => one.status !== 'ready');
    if (bad.length === 0)
        return {level: 'well', word: 'ready'};
    const works = bad.length < all.length || bad.some(one => one.status === 'degraded');
    const status = bad.every(one => one.status === bad[0].status) ? bad[0].status : 'not well';
    const number = all.length === 1 ? '' : `${bad.length} of ${all.length} `;
    return {
        level: works ? 'warn' : 'wrong',
        word: `${number}${noun && `${noun}${all.length === 1 ? '' : 's'} `}${status}`,
        since: bad.map(one => one.since).sort()[0],
        reasons: [...new Set(bad.flatMap(one => one.reasons.map(plain)))],
    };
}
