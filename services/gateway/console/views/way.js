/* The way of an order: each part that it passes, how that part is, and two minutes of the figure
 * that matters there. */
import {sparkline} from '../chart.js';
import {replicas} from '../condition.js';
import {make, reconcile, show, text} from '../dom.js';
import {PARTS} from '../parts.js';
import {plain, plural, rate, say, UNKNOWN, visible} from '../words.js';

/** @typedef {import('../poll.js').State} State */
/** @typedef {import('../condition.js').Level} Level */

/** @type {Record<Level, string>} */
const SYMBOLS = {
    well: '✓',
    unknown: '?',
    warn: '!',
    wrong: '×',
};
/** @type {Record<string, Level>} */
const LEVELS = {
    ready: 'well',
    degraded: 'warn',
};
/** @type {Record<string, string>} */
const RATES = {
    accepted_per_second: 'accepted',
    stored_per_second: 'stored',
    searchable_per_second: 'searchable',
    orders_per_second: 'done',
};

/**
 * @param {HTMLElement} place
 * @returns {import('../main.js').View}
 */
export function openWay(place) {
    const hint = make('p', {class: 'faint', hidden: true},
                      'Without a token this page shows only what is up and what is down. ' +
                          'With one (ADMIN_READ_TOKEN is enough) it also shows figures, reasons, ' +
                          'replicas and dead letters.');
    const cards = PARTS.map(card);
    show(place, make('h2', {}, 'Way of an order'), hint,
         make('ul', {class: 'way'}, cards.map(one => one.element)));
    return {
        title: 'Way of an order',
        onState(state) {
            hint.hidden = state.readiness === null;
            for (const one of cards)
                one.update(state);
        },
    };
}

/** An outcome in a word, with a symbol and a color. */
function badge() {
    const symbol = make('span', {'aria-hidden': 'true'});
    const word = make('span');
    const element = make('span', {}, symbol, ' ', word);
    return {
        element,
        /**
         * @param {Level} level
         * @param {string} told
         */
        update(level, told) {
            element.className = `badge ${level}`;
            text(symbol, SYMBOLS[level]);
            text(word, told);
        },
    };
}

/** @param {import('../parts.js').Part} part */
function card(part) {
    const state = badge();
    const since = make('p', {class: 'since'});
    const reasons = make('ul', {class: 'trouble'});
    const effect = make('p', {class: 'effect'});
    const label = make('span', {class: 'label'});
    const value = make('strong');
    const more = make('p', {class: 'more'});
    const links = make('p', {class: 'links'});
    const chart = sparkline();
    const highest = make('p', {class: 'highest'});
    const figures = make('div', {}, make('p', {class: 'figure'}, label, ' ', value),
                         make('div', {class: 'note'}, more, links), chart.element, highest);
    const list = part.service ? replicaList(part.service) : null;
    const element = make(
        'li', {}, part.flows && make('span', {class: 'arrow', 'aria-hidden': 'true'}, make('span')),
        make('div', {class: 'title'}, make('h3', {}, part.name), state.element),
        make('p', {class: 'role'}, part.role), since, reasons, effect, figures, list?.element);

    /** @param {State} known */
    function update(known) {
        const {report, history} = known;
        const condition = part.condition(known);
        const flows = report !== null && part.flows?.(report);
        element.className = `card ${part.key} ${condition.level}${flows ? ' flows' : ''}`;
        state.update(condition.level, condition.word);
        const troubled = condition.level === 'warn' || condition.level === 'wrong';
        say(since, troubled && condition.since ? `since ${condition.since}` : '');
        const told = troubled ? condition.reasons ?? [] : [];
        reconcile(reasons, told.slice(0, 3), line => line, line);
        text(effect, condition.level === 'wrong'
                         ? [part.effect, condition.remedy].filter(Boolean).join(' ')
                         : '');
        figures.hidden = known.readiness !== null;
        say(label, report ? part.label(report) : part.label(null));
        say(value, report ? part.figure(report) : UNKNOWN);
        say(more, report ? part.more?.(report, history) ?? '' : '');
        reconcile(links, report ? part.links?.(report) ?? [] : [], link => link.address, link);
        const points = history.map(one => ({at: one.at, value: part.value(one.report) ?? null}));
        chart.update(points);
        const most = Math.max(...points.map(point => point.value ?? 0));
        say(highest,
            part.highest && points.length > 0 ? `highest in 2 min: ${part.highest(most)}` : '');
        list?.update(known);
    }

    return {element, update};
}

/** @param {string} first */
function line(first) {
    const element = make('li', {}, first);
    return {element, update: () => {}};
}

/** @param {import('../parts.js').Link} first */
function link(first) {
    const element = make('a', {href: first.address});
    return {
        element,
        /** @param {import('../parts.js').Link} now */
        update(now) {
            say(element, now.words);
        },
    };
}

/* ---- replicas ---- */

/** @param {string} service */
function replicaList(service) {
    const summary = make('summary');
    const list = make('ul', {class: 'replicas'});
    const element = make('details', {}, summary, list);
    return {
        element,
        /** @param {State} state */
        update(state) {
            const all = replicas(state, service);
            element.hidden = all.length === 0;
            text(summary, plural(all.length, service));
            const rows = all.map((one, index) => ({...one, index}));
            reconcile(list, rows, row => row.index, replica);
        },
    };
}

function replica() {
    const state = badge();
    const address = make('bdi', {class: 'mono'});
    const since = make('span');
    const rates = make('p', {class: 'more'});
    const reasons = make('ul', {class: 'trouble'});
    const element = make('li', {}, state.element, ' ', address, ' ', since, rates, reasons);
    return {
        element,
        /** @param {any} one of the services of /api/admin/status */
        update(one) {
            state.update(LEVELS[one.status] ?? 'wrong', one.status);
            text(
                address,
                `${visible(one.replica ?? one.url ?? UNKNOWN)}${one.url ? '' : ' (answers here)'}`);
            say(since, `since ${one.since}`);
            const told = Object.entries(one.rates).map(([name, value]) =>
                                                           `${rate(value)} ${RATES[name] ?? name}`);
            text(rates, told.join(', '));
            reconcile(reasons, [...new Set(one.reasons.map(plain))], told => told, line);
        },
    };
}
