/* How a part of the pipeline is, read out of what poll.js knows. */
import {plain} from './words.js';

/** @typedef {'well'|'unknown'|'warn'|'wrong'} Level from the best to the worst */

/**
 * @typedef {object} Condition
 * @property {Level} level
 * @property {string} word
 * @property {string|null} [since] RFC 3339
 * @property {string[]} [reasons] for a person
 * @property {string} [remedy] what to do, where that is plain
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
    const silent = bad.every(one => one.status === 'unreachable');
    const number = all.length === 1 ? '' : `${bad.length} of ${all.length} `;
    return {
        level: works ? 'warn' : 'wrong',
        word: `${number}${noun && `${noun}${all.length === 1 ? '' : 's'} `}${status}`,
        since: bad.map(one => one.since).sort()[0],
        reasons: [...new Set(bad.flatMap(one => one.reasons.map(plain)))],
        remedy: works || !silent ? undefined : start(service),
    };
}

/** @param {string} service */
function start(service) {
    return `Start ${service === 'indexer' ? 'an' : 'a'} ${service}.`;
}

/**
 * How those are who bring orders into a store, as the bridges say too: before a worker has
 * answered once, nobody knows that the address without an answer is its.
 * @param {State} state
 * @param {string} service
 * @returns {Condition}
 */
export function workers(state, service) {
    const told = replicas(state, service).length === 0
                     ? {level: /** @type {Level} */ ('well'), word: 'up'}
                     : services(state, service, service);
    const without =
        replicas(state, 'bridge').filter(bridge => bridge.reasons.some(isOf(`${service}s`)));
    return without.length === 0 ? told : worst(told, {
        level: 'wrong',
        word: `no ${service}`,
        since: without.map(one => one.since).sort()[0],
        reasons: [`No ${service} takes jobs`],
        remedy: replicas(state, service).length === 0 ? start(service) : undefined,
    });
}

/**
 * Bridges take orders without a worker too, until they have as many in flight as they may.
 * @param {State} state
 * @returns {Condition}
 */
export function bridges(state) {
    const told = services(state, 'bridge');
    const reasons = replicas(state, 'bridge').flatMap(one => one.reasons);
    const take = reasons.length > 0 && reasons.every(isOf('persisters', 'indexers'));
    return told.level === 'wrong' && take ? {...told, level: 'warn'} : told;
}

/**
 * @param {...string} dependencies
 * @returns {(reason: string) => boolean}
 */
function isOf(...dependencies) {
    return reason => dependencies.some(one => reason.startsWith(`${one}: `));
}
