/* Dead letters: how many there are of each reason, and those that a filter finds. The filter is the
 * address. */
import {explain, get, token} from '../api.js';
import {table} from '../blocks.js';
import {make, reconcile, show, text} from '../dom.js';
import {address, FILTERS, openFilters} from '../letter_filter.js';
import {byNumber, orderLink, showState, tell, tokenNote} from '../letters.js';
import {openMany} from '../many_letters.js';
import {explainReason, explainStage} from '../reasons.js';
import {count, plural, time, visible} from '../words.js';

const LIMIT = 50;

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} parameters
 * @returns {import('../main.js').View}
 */
export function openDead(place, parameters) {
    const title = 'Dead letters';
    if (token() === null) {
        show(place, make('h2', {}, title), tokenNote());
        return {title};
    }
    const summary = openSummary();
    const form = openFilters();
    const many = openMany();
    const list = openList(some => many.offer(some));
    show(place, make('h2', {}, title), summary.element, form.element, many.element, list.element);

    /** @param {URLSearchParams} next */
    const onParameters = next => {
        form.fill(next);
        many.fill(next);
        list.load(next);
    };
    onParameters(parameters);
    return {
        title,
        onParameters,
        onState(state) {
            summary.update(state);
            many.update(state);
            list.update(state);
        },
        close() {
            list.close();
            many.close();
        },
    };
}

/* ---- how many, and why ---- */

function openSummary() {
    const words = make('p');
    const reasons = make('ul', {class: 'reasons'});
    const element = make('div', {}, words, reasons);
    return {
        element,
        /** @param {import('../poll.js').State} state */
        update(state) {
            if (!state.report)
                return;
            const letters = state.report.dead_letters;
            text(words, summaryWords(state.report));
            reconcile(reasons, Object.entries(letters?.by_reason ?? {}).sort(byNumber),
                      ([reason]) => reason, reasonRow);
        },
    };
}

/** @param {any} report */
function summaryWords(report) {
    const {dead_letters: letters, archive, queue} = report;
    const words = [];
    if (!letters)
        words.push('How many are dead is not known now.');
    else
        words.push(letters.dead === 0
                       ? 'No letter is dead.'
                       : `${plural(letters.dead, 'letter is', 'letters are')} dead.`);
    if (archive?.state === 'off')
        words.push('They are not archived now (DEAD_LETTER_ARCHIVE=off): new ones stay in the ' +
                   'dead-letter queue, and many cannot be replayed at once.');
    if (archive?.fault)
        words.push(`The archive is not well: ${visible(archive.fault)}.`);
    if (queue?.dead_messages > 0)
        words.push(`${count(queue.dead_messages)} in the dead-letter queue, not archived yet.`);
    return words.join(' ');
}

/** @param {[string, number]} entry */
function reasonRow([reason]) {
    const {means, advice} = explainReason(reason);
    const number = make('strong');
    const link =
        make('a', {href: address({reason})}, number, ' ', make('bdi', {}, visible(reason)));
    const element = make('li', {}, link, ' ', make('span', {class: 'faint'}, `${means} ${advice}`));
    return {
        element,
        /** @param {[string, number]} entry */
        update: ([, letters]) => text(number, count(letters)),
    };
}

/* ---- the list ---- */

/** @param {(some: boolean) => void} onDead told whether any that matches may be dead */
function openList(onDead) {
    const rows = make('tbody');
    const told = make('p', {role: 'status'});
    const box = table('Letters', 'Newest first',
                      ['Letter', 'Died', 'Why', 'Stage', 'Order', 'State'], rows);
    const pages = make('p', {class: 'pages'});
    let parameters = new URLSearchParams();
    let ended = new AbortController();
    let seen = '', failed = false, loading = false, again = false;

    async function load() {
        ended.abort();
        const mine = ended = new AbortController();
        const asked = parameters;
        loading = true;
        again = false;
        try {
            const page = await get(`/api/admin/dead-letters?${query(asked)}`, mine.signal);
            reconcile(rows, page.dead_letters, letter => letter.id, letterRow);
            box.hidden = page.dead_letters.length === 0;
            tell(told, box.hidden ? 'No letter matches.' : '');
            showPages(asked, page.next);
            onDead(asked.has('cursor') || page.next !== null ||
                   page.dead_letters.some((/** @type {any} */ one) => one.state === 'dead'));
            failed = false;
        } catch (error) {
            if (mine.signal.aborted)
                return;
            failed = true;
            onDead(true); // nobody knows
            tell(told, explain(error), null, true);
        }
        loading = false;
        if (again)
            void load();
    }

    /**
     * @param {URLSearchParams} asked
     * @param {string|null} next
     */
    function showPages(asked, next) {
        const values = Object.fromEntries(asked);
        show(pages,
             asked.has('cursor') && make('a', {href: address({...values, cursor: ''})}, 'Newest'),
             ' ', next !== null && make('a', {href: address({...values, cursor: next})}, 'Older'));
    }

    return {
        element: make('div', {}, told, box, pages),
        /** @param {URLSearchParams} next */
        load(next) {
            parameters = next;
            reconcile(rows, [], () => 0, letterRow);
            box.hidden = true;
            show(pages);
            tell(told, 'Asking …');
            void load();
        },
        /**
         * Asks again when there are more or fewer letters, or when they could not be had.
         * @param {import('../poll.js').State} state
         */
        update(state) {
            if (!state.report?.dead_letters)
                return;
            const now = JSON.stringify(state.report.dead_letters);
            const changed = seen !== '' && now !== seen;
            seen = now;
            if (loading)
                again ||= changed;
            else if (changed || failed)
                void load();
        },
        close: () => ended.abort(),
    };
}

/** @param {URLSearchParams} parameters */
function query(parameters) {
    const asked = new URLSearchParams({limit: String(LIMIT)});
    for (const name of ['state', 'cursor', ...FILTERS]) {
        const value = parameters.get(name);
        if (value)
            asked.set(name, value);
    }
    return asked.toString();
}

/** @param {any} letter */
function letterRow(letter) {
    const state = make('span');
    const element = make(
        'tr', {}, make('td', {}, make('a', {href: `#/dead/${letter.id}`}, String(letter.id))),
        make('td', {class: 'nowrap'}, time(letter.died_at)),
        make('td', {class: 'why'},
             make('strong', {title: explainReason(letter.reason).means},
                  make('bdi', {}, visible(letter.reason))),
             ' ', make('bdi', {}, visible(letter.detail))),
        make('td', {title: explainStage(letter.stage)}, make('bdi', {}, visible(letter.stage))),
        make('td', {}, orderLink(letter.order_id)), make('td', {class: 'nowrap'}, state));
    return {element, update: (/** @type {any} */ now) => showState(state, now.state)};
}
