/* Sales: the dashboard's days as bars and as a table. The gateway tells of the newest 30 days that
 * have sales, so those between are added here. Days are UTC. */
import {explain, Problem, request, token} from '../api.js';
import {bars} from '../chart.js';
import {make, reconcile, show, text} from '../dom.js';
import {loading} from '../loading.js';
import {known} from '../poll.js';
import {amount, plural, time} from '../words.js';

const REFRESH_TIMEOUT_MS = 610000; // the gateway's answer comes within 605 s
const DAY_MS = 86400000;
const AS_OF = 'Orders since the last refresh are not in the figures yet.';
const EMPTY_MAX = 7; // more days in a row without sales are one bar

/**
 * @typedef {object} Day one, or many without sales
 * @property {string} key
 * @property {string} name
 * @property {string} short
 * @property {number|null} value null: nothing was sold
 */

/**
 * @param {HTMLElement} place
 * @returns {import('../main.js').View}
 */
export function openSales(place) {
    const sum = make('p');
    const chosen = make('strong');
    const chart = bars('Sales by day, oldest first', bar => text(chosen, bar.label));
    const highest = make('span', {class: 'faint'});
    const picture =
        make('div', {class: 'card'},
             make('p', {class: 'ends', 'aria-hidden': 'true'}, chosen, highest), // each bar says it
             chart.element, chart.below);
    const body = make('tbody');
    const table =
        make('details', {}, make('summary', {}, 'The same as a table'),
             make('table', {class: 'days'}, make('caption', {}, 'Sales by day (UTC), newest first'),
                  make('thead', {},
                       make('tr', {}, make('th', {scope: 'col'}, 'Day'),
                            make('th', {scope: 'col', class: 'number'}, 'Sales'))),
                  body));
    const problem = make('p', {class: 'error', role: 'alert'});
    const refreshed = make('span', {}, AS_OF);
    const button =
        make('button', {type: 'button', on: {click: () => void refresh()}}, 'Refresh now');
    const told = make('p', {role: 'status'});
    const stop = new AbortController();
    picture.hidden = table.hidden = true;
    show(place, make('h2', {}, 'Sales'), make('p', {}, refreshed, ' ', button), told, problem, sum,
         picture, table);

    const question =
        loading('/api/dashboard/sales', onSales, error => text(problem, explain(error)));

    /** @param {{date: string, total_revenue: number}[]} answer newest first */
    function onSales(answer) {
        const days = calendar(answer, new Date().toISOString().split('T')[0]);
        text(problem, '');
        picture.hidden = table.hidden = answer.length === 0;
        text(sum, summary(answer));
        if (answer.length === 0)
            return;
        chart.update(days.map(day => ({
                                  key: day.key,
                                  label: `${day.name}: ${sold(day)}`,
                                  short: day.short,
                                  value: day.value ?? 0,
                              })));
        text(highest, `highest: ${amount(Math.max(...answer.map(day => day.total_revenue)))}`);
        reconcile(body, [...days].reverse(), day => day.key, buildRow);
    }

    async function refresh() {
        button.disabled = true;
        text(told, 'The sales are refreshed; this may take minutes …');
        try {
            await request('POST', '/api/admin/refresh',
                          {plain: true, signal: stop.signal, timeoutMs: REFRESH_TIMEOUT_MS});
            text(told, 'The sales are refreshed.');
            void question.ask();
        } catch (error) {
            if (stop.signal.aborted)
                return;
            text(told, error instanceof Problem && error.status === 401 && token() === null
                           ? 'To refresh takes a token: type it in above.'
                           : explain(error));
        }
        button.disabled = false;
    }

    /** @type {string|null|undefined} */
    let lastRefresh = known().report?.last_refresh_at;
    let shown = '';
    void question.ask();
    return {
        title: 'Sales',
        onState(state) {
            question.askAgain();
            const at = state.report?.last_refresh_at;
            if (shown !== (at ?? '')) {
                shown = at ?? '';
                show(refreshed, at ? ['Last refreshed ', time(at), '. ', AS_OF] : AS_OF);
            }
            if (!at || at === lastRefresh)
                return;
            lastRefresh = at;
            void question.ask();
        },
        close() {
            question.close();
            stop.abort();
        },
    };
}

/**
 * From the oldest day that has sales to today, those without sales with it.
 * @param {{date: string, total_revenue: number}[]} answer newest first
 * @param {string} today
 * @returns {Day[]} oldest first
 */
function calendar(answer, today) {
    /** @type {Day[]} */
    const days = [];
    for (const {date, total_revenue: value} of [...answer].reverse()) {
        const day = date.split('T')[0];
        days.push(...emptyDays(days.at(-1)?.key ?? day, day, today),
                  {key: day, value, name: nameOf(day, today), short: shortOf(day, today)});
    }
    const newest = days.at(-1)?.key ?? today;
    return [...days, ...emptyDays(newest, later(today, 1), today)];
}

/**
 * Those after the first and before the second.
 * @param {string} first
 * @param {string} second
 * @param {string} today
 * @returns {Day[]}
 */
function emptyDays(first, second, today) {
    const count = (Date.parse(second) - Date.parse(first)) / DAY_MS - 1;
    if (!(count >= 1)) // so, too, when a year has more than four digits
        return [];
    if (count > EMPTY_MAX)
        return [{
            key: later(first, 1),
            value: null,
            name: `${later(first, 1)} to ${later(second, -1)}`,
            short: '…',
        }];
    return Array.from({length: count}, (_, index) => {
        const key = later(first, index + 1);
        return {key, value: null, name: nameOf(key, today), short: shortOf(key, today)};
    });
}

/**
 * @param {string} day
 * @param {number} days
 */
function later(day, days) {
    return new Date(Date.parse(day) + days * DAY_MS).toISOString().split('T')[0];
}

/**
 * @param {string} day
 * @param {string} today
 */
function nameOf(day, today) {
    if (day === today)
        return `${day} (today)`;
    return day === later(today, -1) ? `${day} (yesterday)` : day;
}

/**
 * @param {string} day
 * @param {string} today
 */
function shortOf(day, today) {
    return day === today ? 'today' : day.slice(-5);
}

/** @param {Day} day */
function sold(day) {
    if (day.value !== null)
        return amount(day.value);
    return day.short === 'today' ? 'no sales as of the last refresh' : 'no sales';
}

/** @param {{date: string, total_revenue: number}[]} answer newest first */
function summary(answer) {
    const newest = answer[0], oldest = answer.at(-1);
    if (!newest || !oldest)
        return 'No sales are known as of the last refresh.';
    const total = answer.reduce((sum, day) => sum + day.total_revenue, 0);
    return `${amount(total)} on ${plural(answer.length, 'day')} with sales, ${
        oldest.date.split('T')[0]} to ${newest.date.split('T')[0]} (UTC).`;
}

/** @returns {import('../dom.js').Row<Day>} */
function buildRow() {
    const name = make('th', {scope: 'row'}), value = make('td', {class: 'number'});
    return {
        element: make('tr', {}, name, value),
        update(day) {
            text(name, day.name);
            text(value, sold(day));
        },
    };
}
