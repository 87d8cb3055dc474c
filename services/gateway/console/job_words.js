/* Jobs in words, as orderctl tells them. A result is told by its members: a comparison of
 * PostgreSQL and the index has "missing", a copy into an index has "index", and jobs about dead
 * letters have numbers alone. */
import {make} from './dom.js';
import {count, operator, plural, time, visible} from './words.js';

/** @typedef {import('./dom.js').Child} Child */
/** @typedef {[string, Child[]]} Fact a label, and what is told under it */

/** @type {Record<string, [string, string]>} symbol, and class of its badge */
const STATES = {
    waiting: ['…', ''],
    running: ['▸', ''],
    done: ['✓', 'well'],
    failed: ['!', 'wrong'],
    canceled: ['×', 'warn'],
};

/**
 * The state as a badge; a job that is done and found what is not mended is not well.
 * @param {any} job
 */
export function stateBadge(job) {
    const [symbol, look] = STATES[job.state] ?? ['?', ''];
    if (job.state === 'done' && !isGood(job))
        return badge('!', 'warn', 'done, not all is well');
    return badge(symbol, look,
                 job.cancel_requested && !job.finished_at ? `${job.state}, to be canceled`
                                                          : job.state);
}

/**
 * @param {string} symbol
 * @param {string} look
 * @param {string} words
 */
function badge(symbol, look, words) {
    return make('span', {class: `badge ${look}`},
                make('span', {'aria-hidden': 'true'}, `${symbol} `), words);
}

/**
 * From its start to its end.
 * @param {any} job
 */
export function tookSeconds(job) {
    return (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
}

/** @param {any} job */
export function askedBy(job) {
    return job.automatic ? 'by itself' : operator(job.requested_by);
}

/**
 * What it was asked to do.
 * @param {any} job
 * @returns {Child[]} empty: nothing is to be told
 */
export function parameters(job) {
    const given = job.parameters ?? {};
    switch (job.kind) {
    case 'reindex':
        return [given.keep_old ? 'keeps the old index' : 'deletes the old index at the end'];
    case 'verify':
    case 'repair':
        return [
            [
                given.full ? 'all orders' : 'the orders of the last 7 days',
                given.fields ? 'every field of each' : 'counts and sums',
                given.delete_extra ? 'deletes documents that have no order' : '',
            ].filter(Boolean)
                .join(', '),
        ];
    default:
        return Object.keys(given).length === 0
                   ? []
                   : [make('pre', {}, visible(JSON.stringify(given, null, 2), {lines: true}))];
    }
}

/* ---- good or not ---- */

/**
 * @param {any} result
 * @param {string} name
 * @returns {number}
 */
function found(result, name) {
    return result?.[name]?.count ?? 0;
}

/** @param {any} result */
function ordersLeft(result) {
    return Math.max(0, found(result, 'missing') + found(result, 'different') +
                           found(result, 'dead_at_index') - (result?.repaired ?? 0));
}

/** @param {any} result */
function documentsLeft(result) {
    return Math.max(0, found(result, 'extra') - (result?.deleted ?? 0));
}

/** @param {any} job */
function isGood(job) {
    const result = job.result;
    return job.state === 'done' && ordersLeft(result) === 0 && documentsLeft(result) === 0 &&
           found(result, 'refused') === 0;
}

/* ---- results ---- */

/**
 * What came out, or has so far.
 * @param {any} job
 * @returns {Fact[]}
 */
export function result(job) {
    const out = job.result ?? {};
    if (out.missing?.count !== undefined)
        return comparison(job, out);
    if (out.index !== undefined)
        return copy(out);
    return counts(out);
}

/**
 * "3: ID, ID, ID"; each leads to what became of it.
 * @param {any} out
 * @param {string} name
 * @param {string} label
 * @param {...Child} more
 * @returns {Fact}
 */
function tally(out, name, label, ...more) {
    const ids = out[name]?.ids ?? [];
    const total = found(out, name);
    const links = ids.map(
        (/** @type {string} */ id) => make(
            'li', {},
            make('a', {href: `#/find?q=${encodeURIComponent(id)}`, class: 'mono'}, visible(id))));
    return [
        label,
        [
            count(total),
            links.length > 0 && make('ul', {}, links),
            links.length > 0 && total > links.length &&
                make('p', {}, `and ${count(total - links.length)} more`),
            total > 0 && more,
        ].flat(),
    ];
}

/**
 * @param {any} job
 * @param {any} out
 * @returns {Fact[]}
 */
function comparison(job, out) {
    /** @type {Fact[]} */
    const facts = [
        [
            'Compared',
            [
                `${plural(out.orders ?? 0, 'order')} with ${
                    plural(out.documents ?? 0, 'document')}`,
                out.from && [', from ', time(out.from)],
                out.to && [' to ', time(out.to)],
            ].flat(),
        ],
        tally(out, 'missing', 'Missing in the index'),
        tally(out, 'extra', 'Extra in the index'),
        tally(out, 'different', 'Different'),
    ];
    if (found(out, 'dead_at_index') > 0)
        facts.push(tally(out, 'dead_at_index', 'Dead',
                         make('p', {}, 'Those have no document because their letters died at the ',
                              make('a', {href: '#/dead?stage=index'}, 'stage index'), '.')));
    if (found(out, 'refused') > 0)
        facts.push(tally(
            out, 'refused', 'Refused',
            make(
                'p', {},
                'The mapping of the index does not take those: mend ORDER_INDEX_SETTINGS_FILE, then reindex.')));
    if (out.repaired > 0 || out.deleted > 0)
        facts.push([
            'Repaired',
            [
                `${plural(out.repaired ?? 0, 'document')}, and deleted ${count(out.deleted ?? 0)}`,
            ],
        ]);
    if (out.approximate)
        facts.push([
            'Note',
            ['The numbers are differences of whole hours: too much differs to look up each.'],
        ]);
    const ledger = salesLedger(job, out.sales_ledger);
    if (ledger !== '')
        facts.push(['Sales ledger', [ledger]]);
    const advice = job.state === 'done' ? repairs(out) : [];
    if (advice.length > 0)
        facts.push([
            'What to do',
            [
                make('a', {href: '#/jobs'}, 'Begin a repair'),
                ` of ${parameters({
                    ...job,
                    parameters: {...job.parameters, delete_extra: false}
                })}: it ${advice.join(', and ')}.`,
            ],
        ]);
    return facts;
}

/**
 * What is said of the ledger of the daily sales; '' while it is not compared yet.
 * @param {any} job
 * @param {any} ledger undefined: of a scheduler from before the ledger
 * @returns {string}
 */
function salesLedger(job, ledger) {
    if (ledger === undefined || (ledger === null && job.state !== 'done'))
        return '';
    if (ledger === null)
        return 'Not compared: there is none that has all orders, or it could not be read.';
    if (!ledger.days)
        return 'Right on every day.';
    return `It was wrong on ${plural(ledger.days, 'day')}, by ${
        plural(ledger.orders,
               'order')}, and is mended: something changed orders past its triggers.`;
}

/**
 * What a repair would do.
 * @param {any} out
 */
function repairs(out) {
    const does = [];
    if (ordersLeft(out) > found(out, 'refused'))
        does.push('indexes again what is missing or different');
    if (documentsLeft(out) > 0)
        does.push(
            `deletes the ${plural(documentsLeft(out), 'document')} without an order, if told to`);
    return does;
}

/**
 * @param {any} out
 * @returns {Fact[]}
 */
function copy(out) {
    /** @type {Fact[]} */
    const facts = [
        ['Index', [make('bdi', {class: 'mono'}, visible(out.index))]],
        ['Copied', [plural(out.copied ?? 0, 'order')]],
    ];
    if (out.old)
        facts.push([
            'Index before',
            [
                make('bdi', {class: 'mono'}, visible(out.old)), ...(out.old_kept ? [
                    ', kept. When it is of no use any more: ',
                    make('code', {}, `curl -X DELETE ELASTICSEARCH_URL/${visible(out.old)}`)
                ] : [])
            ],
        ]);
    if (found(out, 'refused') > 0)
        facts.push(tally(
            out, 'refused', 'Refused',
            make('p', {}, 'Elasticsearch refuses these orders, and search does not find them.')));
    if (out.unreadable > 0)
        facts.push(['Unreadable', [`${plural(out.unreadable, 'row')}, which can be no orders`]]);
    if (out.transactions_left)
        facts.push([
            'Open',
            ['Transactions had not ended: what they commit is found by a verification.'],
        ]);
    return facts;
}

/** @type {Record<string, Child[]>} what some counts mean */
const MEANINGS = {
    skipped: ['letters that are no longer dead, or whose body can be no order'],
    died_again: ['each is a new letter: see ', make('a', {href: '#/dead'}, 'Dead letters')],
};

/**
 * @param {any} out
 * @returns {Fact[]}
 */
function counts(out) {
    return Object.entries(out).filter(([name]) => name !== 'phase').map(([name, value]) => {
        const written = typeof value === 'number' ? count(value) : visible(JSON.stringify(value));
        const meaning = value > 0 && Object.hasOwn(MEANINGS, name) ? MEANINGS[name] : undefined;
        return [
            visible(name.replaceAll('_', ' ')), [written, ...meaning ? [': ', ...meaning] : []]
        ];
    });
}
