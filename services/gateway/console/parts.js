/* The parts that an order passes, and what each tells of itself. */
import {bridges, dependency, server, services, UNTOLD, workers, worst} from './condition.js';
import {count, duration, plural, rate, roughly, share, UNKNOWN, visible} from './words.js';

/** @typedef {import('./poll.js').State} State */
/** @typedef {import('./condition.js').Condition} Condition */
/** @typedef {{address: string, words: string}} Link */

/**
 * A report is the answer of /api/admin/status.
 * @typedef {object} Part
 * @property {string} key
 * @property {string} name
 * @property {string} role what it does
 * @property {(state: State) => Condition} condition
 * @property {string} [effect] what it means for orders that the part is down
 * @property {(report: any) => string} label of the figure; the report may be null
 * @property {(report: any) => string} figure
 * @property {(report: any, history: State['history']) => string} [more]
 * @property {(report: any) => Link[]} [links]
 * @property {(report: any) => number|null|undefined} value that the sparkline shows
 * @property {(value: number) => string} [highest] what to call the sparkline's top
 * @property {string} [service] whose replicas are listed
 * @property {(report: any) => boolean} [flows] whether orders come in from the part before
 */

const RATE_OVER_MS = 10000;
const ESTIMATE_MIN = 1000; // PostgreSQL counts anew after 50 orders and a tenth

/** @type {Part} */
const gateway = {
    key: 'gateway',
    name: 'Gateway',
    role: 'takes orders',
    condition: state =>
        state.report ? services(state, 'gateway') : server(state, 'accepting_orders', {
            up: 'takes orders',
            down: 'takes no orders',
            level: 'wrong',
        }),
    effect: 'No order is accepted.',
    label: () => 'accepted',
    figure: ({rates}) => rate(rates.accepted_per_second),
    more: ({outbox}) => outbox?.orders > 0
                            ? `${plural(outbox.orders, 'stored order')} wait for RabbitMQ`
                            : 'each is safe once it is answered',
    value: ({rates}) => rates.accepted_per_second,
    highest: rate,
    service: 'gateway',
};

/** @type {Part} */
const rabbitmq = {
    key: 'rabbitmq',
    name: 'RabbitMQ',
    role: 'keeps what is not yet stored',
    condition: state => worst(server(state, 'rabbitmq'), taken(state)),
    effect: 'No order is accepted.',
    label: () => 'waiting',
    figure: ({queue}) => count(queue?.messages),
    more: behind,
    value: ({queue}) => queue?.messages,
    highest: count,
    flows: ({rates}) => rates.accepted_per_second > 0,
};

/**
 * @param {State} state
 * @returns {Condition}
 */
function taken({report}) {
    return report?.queue?.consumers === 0
               ? {level: 'warn', word: 'not read', reasons: ['No bridge takes orders out of it']}
               : {level: 'well', word: 'up'};
}

/**
 * How long an order of now would wait, at the rate of the last seconds.
 * @param {any} report
 * @param {State['history']} history
 */
function behind({queue, in_flight: inFlight}, history) {
    const waiting = queue?.messages;
    if (waiting === null || waiting === undefined || inFlight === null)
        return '';
    const flying = `${count(inFlight)} in flight`;
    if (waiting + inFlight === 0)
        return `${flying}, nothing is behind`;
    const now = history[history.length - 1].at;
    const rates = history.filter(one => one.at > now - RATE_OVER_MS)
                      .map(({report: {rates}}) =>
                               Math.min(rates.stored_per_second, rates.searchable_per_second));
    const mean = rates.reduce((sum, one) => sum + one, 0) / rates.length;
    return mean > 0 ? `${flying}, ${duration((waiting + inFlight) / mean)} behind`
                    : `${flying}, standing still`;
}

/** @type {Part} */
const bridge = {
    key: 'bridge',
    name: 'Bridge',
    role: 'hands each order to both stores',
    condition: bridges,
    effect: 'Orders wait in RabbitMQ.',
    label: () => 'in flight',
    figure: report => count(report.in_flight),
    more: () => 'taken, and not yet in both stores',
    value: report => report.in_flight,
    highest: count,
    service: 'bridge',
    flows: ({in_flight: inFlight, rates}) => inFlight > 0 || rates.stored_per_second > 0,
};

/** @type {Part} */
const postgres = {
    key: 'postgres',
    name: 'PostgreSQL',
    role: 'stores orders; persisters bring them',
    condition: state => worst(server(state, 'postgres'), workers(state, 'persister')),
    effect: 'Orders wait in RabbitMQ.',
    label: () => 'stored',
    figure: ({rates}) => rate(rates.stored_per_second),
    more: ({rows_estimated: rows}) =>
        rows >= ESTIMATE_MIN ? `about ${roughly(rows)} orders in all` : '',
    value: ({rates}) => rates.stored_per_second,
    highest: rate,
    service: 'persister',
    flows: ({rates}) => rates.stored_per_second > 0,
};

/** @type {Part} */
const elasticsearch = {
    key: 'elasticsearch',
    name: 'Elasticsearch',
    role: 'finds orders; indexers bring them',
    condition: state =>
        worst(server(state, 'elasticsearch'), workers(state, 'indexer'), index(state)),
    effect: 'Orders are safe, but search does not find new ones.',
    label: () => 'made searchable',
    figure: ({rates}) => rate(rates.searchable_per_second),
    more: ({documents, index}) =>
        documents === null ? ''
        : index?.missing   ? `${plural(documents, 'order')}, ${share(index.missing)} missing`
                           : `${plural(documents, 'order')} in all`,
    links: ({index}) => index === null ? [] : [{address: '#/jobs', words: verified(index)}],
    value: ({rates}) => rates.searchable_per_second,
    highest: rate,
    service: 'indexer',
    flows: ({rates}) => rates.searchable_per_second > 0,
};

/**
 * @param {State} state
 * @returns {Condition}
 */
function index(state) {
    const told = server(state, 'search_index', {up: 'up', down: 'incomplete', level: 'warn'});
    const fault = state.report?.index?.fault;
    return fault ? {...told, level: 'warn', word: 'incomplete', reasons: [fault]} : told;
}

/** @param {any} index */
function verified(index) {
    if (index.verified_at === null)
        return 'never verified';
    const found = ['missing', 'extra', 'different']
                      .filter(kind => index[`${kind}_documents`] > 0)
                      .map(kind => `${count(index[`${kind}_documents`])} ${kind}`);
    return `verified ${index.verified_at}: ${found.join(', ') || 'nothing missing'}`;
}

/** @type {Part} */
const dead = {
    key: 'dead',
    name: 'Dead letters',
    role: 'orders that could not be stored',
    condition: letters,
    label: () => 'wait for a decision',
    figure: report => count(waiting(report)),
    links: ({dead_letters: letters}) => {
        const reasons = Object.entries(letters?.by_reason ?? {}).slice(0, 3);
        const links =
            reasons.map(([reason, number]) => ({
                            address: `#/dead?state=dead&reason=${encodeURIComponent(reason)}`,
                            words: `${count(number)} ${visible(reason).replaceAll('_', ' ')}`,
                        }));
        return [...links, {address: '#/dead', words: 'All dead letters'}];
    },
    value: waiting,
    highest: count,
};

/**
 * With the archive off, they are in RabbitMQ.
 * @param {any} report
 */
function waiting({archive, dead_letters: letters, queue}) {
    return archive?.state === 'off' ? queue?.dead_messages : letters?.dead;
}

/**
 * @param {State} state
 * @returns {Condition}
 */
function letters({report}) {
    const number = report && waiting(report);
    if (number === null || number === undefined)
        return UNTOLD;
    if (report.archive?.fault)
        return {level: 'wrong', word: 'not archived', reasons: [report.archive.fault]};
    return number === 0
               ? {level: 'well', word: 'none'}
               : {level: 'warn', word: 'waiting', since: report.dead_letters?.oldest_died_at};
}

/** @type {Part} */
const redis = {
    key: 'redis',
    name: 'Redis',
    role: 'answers reads, knows used keys',
    condition: state => server(state, 'redis'),
    effect: 'Reads go to PostgreSQL.',
    label: report => told(report)?.status === 'down' ? 'down since' : 'up since',
    figure: report => told(report)?.since ?? UNKNOWN,
    value: report => {
        const one = told(report);
        return one && (one.status === 'up' ? 1 : 0);
    },
};

/** @param {any} report */
function told(report) {
    return dependency({report}, 'redis');
}

/** @type {Part} */
const scheduler = {
    key: 'scheduler',
    name: 'Scheduler',
    role: 'refreshes the sales, and does jobs',
    condition: state => state.report ? services(state, 'scheduler') : server(state, 'scheduler'),
    effect: 'Sales are not refreshed, and jobs wait.',
    label: () => 'sales refreshed',
    figure: report => report.last_refresh_at ?? UNKNOWN,
    more: report => running(report).length === 0 ? 'no job is under way' : '',
    links: report => running(report).slice(0, 2).map(job => ({
                                                         address: `#/jobs/${job.id}`,
                                                         words: `${job.kind}${progress(job)}`,
                                                     })),
    value: report => running(report).length,
    highest: value => plural(value, 'job'),
    service: 'scheduler',
};

/**
 * @param {any} report
 * @returns {any[]}
 */
function running({jobs}) {
    return (jobs ?? []).filter((/** @type {any} */ job) => job.state === 'running');
}

/** @param {any} job */
function progress({done, total}) {
    return total ? ` ${share(done / total)} done` : ' is under way';
}

/* As a narrow screen shows them, top to bottom. */
export const PARTS = [gateway, rabbitmq, bridge, postgres, elasticsearch, dead, redis, scheduler];
