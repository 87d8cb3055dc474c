/* Why an order waits for a step, as far as the page knows. */
import {dependency, replicas} from './condition.js';

/** @typedef {import('./poll.js').State} State */
/** @typedef {'stored'|'searchable'} Step */

/** @type {Record<Step, {server: string, name: string, worker: string}>} */
const NEEDS = {
    stored: {server: 'postgres', name: 'PostgreSQL', worker: 'persister'},
    searchable: {server: 'elasticsearch', name: 'Elasticsearch', worker: 'indexer'},
};

/**
 * @param {State} state
 * @param {Step} step that the order has not come to
 * @returns {string} empty: no reason is known
 */
export function whyWaits(state, step) {
    const {server, name, worker} = NEEDS[step];
    if (state.condition === 'lost')
        return 'the gateway does not answer';
    if (isDown(state, 'rabbitmq'))
        return 'RabbitMQ is down';
    if (isDown(state, server))
        return `${name} is down`;
    if (state.report?.queue?.consumers === 0)
        return 'no bridge takes orders now';
    return lacks(state, worker) ? `no ${worker} takes orders now` : '';
}

/**
 * Why an order that is on its way has come no further.
 * @param {State} state
 * @param {{stored: boolean|null}} fate
 * @returns {string} empty: no reason is known
 */
export function tellDelay(state, fate) {
    const why = whyWaits(state, fate.stored ? 'searchable' : 'stored');
    return why && `It waits: ${why}. It is safe, and goes on by itself when that is mended.`;
}

/**
 * @param {State} state
 * @param {string} name
 */
function isDown(state, name) {
    return dependency(state, name)?.status === 'down';
}

/**
 * A bridge knows best; its workers may be where the gateway does not look.
 * @param {State} state
 * @param {string} worker
 */
function lacks(state, worker) {
    const reasons = replicas(state, 'bridge').flatMap(one => one.reasons);
    const workers = replicas(state, worker);
    return reasons.includes(`${worker}s: no worker takes jobs`) ||
           (workers.length > 0 &&
            workers.every(one => one.status !== 'ready' && one.status !== 'degraded'));
}
