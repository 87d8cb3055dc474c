/* Dead letters: how many there are of each reason, those that a filter finds, and what is done with
 * many at once. The filter is the address. */
import {explain, get, post, token} from '../api.js';
import {ask} from '../ask.js';
import {make, reconcile, reveal, show, text} from '../dom.js';
import {askWhy, orderLink, showState, tell, tokenNote, whileDisabled} from '../letters.js';
import {explainReason, explainStage, REASON_CODES} from '../reasons.js';
import {count, duration, plural, time, visible} from '../words.js';

const LIMIT = 50;
const PER_SECOND = 50, PER_SECOND_MAX = 1000;
/** @type {Record<string, string>} */
const WORDS = {
    reason: 'the reason',
    stage: 'the stage',
    order_id: 'the order',
    since: 'a death since',
    until: 'a death before',
    detail: 'in the detail:'
};
const FILTERS = Object.keys(WORDS);
const STATES = {
    dead: 'dead',
    replayed: 'replayed',
    discarded: 'discarded',
    all: 'all'
};

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

/**
 * @param {Record<string, string>} values those that are empty are left out
 */
function address(values) {
    const set = Object.entries(values).filter(([, value]) => value !== '');
    const query = new URLSearchParams(set).toString();
    return query === '' ? '#/dead' : `#/dead?${query}`;
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

/**
 * @param {[string, number]} one
 * @param {[string, number]} other
 */
function byNumber(one, other) {
    return other[1] - one[1] || (one[0] < other[0] ? -1 : 1);
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

/* ---- the form of the filters ---- */

function openFilters() {
    const state = choice(STATES);
    const reason = make('input', {list: 'reason-codes', maxlength: 250, spellcheck: 'false'});
    const stage = choice({'': 'any', intake: 'intake', persist: 'persist', index: 'index'});
    const order = make('input', {maxlength: 40, spellcheck: 'false', class: 'mono', size: 36});
    const since = make('input', {type: 'datetime-local', step: 1});
    const until = make('input', {type: 'datetime-local', step: 1});
    const detail = make('input', {maxlength: 250, spellcheck: 'false'});
    let current = new URLSearchParams();

    const submit = (/** @type {Event} */ event) => {
        event.preventDefault();
        const next = address({
            state: state.value === 'dead' ? '' : state.value,
            reason: reason.value.trim(),
            stage: stage.value,
            order_id: order.value.trim(),
            since: instant(since, current.get('since')),
            until: instant(until, current.get('until')),
            detail: detail.value,
        });
        if (next === location.hash)
            dispatchEvent(new HashChangeEvent('hashchange')); // asked again
        else
            location.hash = next;
    };
    const element =
        make('form', {class: 'fields', on: {submit}, 'aria-label': 'Filter'},
             make('label', {}, 'State', state), make('label', {}, 'Reason', reason),
             make('datalist', {id: 'reason-codes'},
                  REASON_CODES.map(code => make('option', {value: code}))),
             make('label', {}, 'Stage', stage), make('label', {}, 'Order id', order),
             make('label', {}, 'Died since', since), make('label', {}, 'Died before', until),
             make('label', {}, 'Text in the detail', detail),
             make('div', {class: 'actions'}, make('button', {}, 'Filter'),
                  make('a', {href: '#/dead'}, 'No filter')));
    return {
        element,
        /** @param {URLSearchParams} parameters */
        fill(parameters) {
            current = parameters;
            choose(state, parameters.get('state') ?? 'dead');
            reason.value = parameters.get('reason') ?? '';
            choose(stage, parameters.get('stage') ?? '');
            order.value = parameters.get('order_id') ?? '';
            since.value = localTime(parameters.get('since'));
            until.value = localTime(parameters.get('until'));
            detail.value = parameters.get('detail') ?? '';
        },
    };
}

/** @param {Record<string, string>} options the words of each value */
function choice(options) {
    return make('select', {},
                Object.entries(options).map(([value, words]) => make('option', {value}, words)));
}

/**
 * Also a value that only the address has.
 * @param {HTMLSelectElement} select
 * @param {string} value
 */
function choose(select, value) {
    select.value = value;
    if (select.value !== value) {
        select.append(make('option', {value}, visible(value)));
        select.value = value;
    }
}

/**
 * As a field of the viewer's zone takes it; to the second.
 * @param {string|null} written RFC 3339
 */
function localTime(written) {
    const date = new Date(written ?? '');
    if (Number.isNaN(date.getTime()))
        return '';
    return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

/**
 * What a field of a time says, in RFC 3339 and UTC. What was not changed stays as the address has
 * it, which may be more exact.
 * @param {HTMLInputElement} field
 * @param {string|null} before
 */
function instant(field, before) {
    if (field.value === '')
        return '';
    const shown = localTime(before);
    const same = new Date(field.value).getTime() === new Date(shown).getTime();
    return same ? before ?? '' : new Date(field.value).toISOString().replace('.000Z', 'Z');
}

/* ---- the list ---- */

/** @param {(some: boolean) => void} onDead told whether any that matches may be dead */
function openList(onDead) {
    const rows = make('tbody');
    const told = make('p', {role: 'status'});
    const table = make('table', {}, make('caption', {}, 'Newest first'),
                       make('thead', {},
                            make('tr', {},
                                 ['Letter', 'Died', 'Why', 'Stage', 'Order', 'State'].map(
                                     words => make('th', {scope: 'col'}, words)))),
                       rows);
    const box =
        make('div', {class: 'wide', tabindex: 0, role: 'region', 'aria-label': 'Letters'}, table);
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

/* ---- many at once ---- */

function openMany() {
    const replay = make('button', {type: 'button', on: {click: () => start(replay, askReplay)}},
                        'Replay all that match …');
    const discard = make('button', {type: 'button', on: {click: () => start(discard, askDiscard)}},
                         'Discard all that match …');
    const told = make('p', {role: 'status'});
    const progress = make('progress', {max: 1, value: 0, 'aria-label': 'Progress of the job'});
    const how = make('span');
    const job = make('p', {hidden: true}, progress, ' ', how);
    const ended = new AbortController();
    let parameters = new URLSearchParams();
    let number = 0;
    let busy = false, some = true;

    /** Nothing is offered in vain; a button that has the focus keeps it, and says so. */
    function enable() {
        if (!busy)
            for (const button of [replay, discard])
                button.disabled = !some && button !== document.activeElement;
    }

    /** @typedef {(matches: number, which: HTMLElement) => Promise<Record<string, any>|null>} Ask */

    /**
     * @param {HTMLButtonElement} button
     * @param {Ask} question
     */
    async function start(button, question) {
        const [other, what] = button === replay ? [discard, 'replay'] : [replay, 'discard'];
        const work = () => settle(what, question);
        busy = true;
        await whileDisabled(button, () => whileDisabled(other, work)); // one question at a time
        busy = false;
        enable();
        reveal(told);
    }

    /**
     * @param {string} what
     * @param {Ask} question
     */
    async function settle(what, question) {
        const filter = filterOf(parameters);
        const path = `/api/admin/dead-letters/${what}`;
        try {
            tell(told, 'Counting …');
            const found = await post(path, {filter, dry_run: true}, ended.signal);
            if (found.matches === 0) {
                tell(told, 'No dead letter matches: nothing to do.');
                return;
            }
            tell(told, '');
            const which = whichLetters(filter, found.by_reason);
            const options = await question(found.matches, which);
            if (!options) {
                tell(told, 'Nothing was done.');
                return;
            }
            const begun = await post(path, {filter, ...options}, ended.signal);
            number = begun.job;
            tell(told, `${plural(begun.total, 'letter')} to ${what}:`,
                 make('a', {href: `#/jobs/${number}`}, `job ${number}`));
        } catch (error) {
            if (!ended.signal.aborted)
                tell(told, explain(error), null, true);
        }
    }

    return {
        element: make('div', {}, make('p', {class: 'actions'}, replay, discard), told, job),
        /** @param {URLSearchParams} next */
        fill(next) {
            parameters = next;
            number = 0;
            job.hidden = true;
            tell(told, ''); // it was of the filter before
            const settled = ['replayed', 'discarded'].includes(next.get('state') ?? '');
            replay.hidden = discard.hidden = settled; // there is nothing left to do with those
        },
        /** @param {boolean} now whether any letter that matches may be dead */
        offer(now) {
            some = now;
            enable();
        },
        /** @param {import('../poll.js').State} state */
        update(state) {
            const now = state.report?.jobs?.find((/** @type {any} */ one) => one.id === number);
            job.hidden = !now;
            if (!now)
                return;
            progress.max = now.total || 1;
            progress.value = now.total === 0 ? 1 : now.done;
            text(how, `${now.state}: ${count(now.done)} of ${plural(now.total, 'letter')}` +
                          (now.error ? `; ${visible(now.error)}` : '') + outcome(now.result));
        },
        close: () => ended.abort(),
    };
}

/**
 * What a job tells, with those that are none left out.
 * @param {Record<string, unknown>|null} result
 */
function outcome(result) {
    const words =
        Object.entries(result ?? {})
            .filter(([, value]) => typeof value === 'number' && value > 0)
            .map(([name, value]) => `${count(Number(value))} ${name.replaceAll('_', ' ')}`);
    return words.length > 0 ? ` (${words.join(', ')})` : '';
}

/**
 * The filter as a request takes it, which is always of letters that are dead.
 * @param {URLSearchParams} parameters
 */
function filterOf(parameters) {
    const set = FILTERS.filter(name => parameters.get(name));
    return Object.fromEntries(set.map(name => [name, parameters.get(name)]));
}

/**
 * What a filter chooses, and how many of each reason.
 * @param {Record<string, any>} filter
 * @param {Record<string, number>} byReason
 */
function whichLetters(filter, byReason) {
    const names = Object.keys(filter);
    const words = names.map(name => `${WORDS[name]} ${visible(filter[name])}`);
    const counts = Object.entries(byReason).sort(byNumber);
    return make('div', {},
                make('p', {},
                     names.length === 0 ? 'All that are dead, without a filter:'
                                        : `Those that are dead, with ${words.join(', ')}:`),
                make('ul', {},
                     counts.map(([reason, letters]) => make('li', {}, `${count(letters)} `,
                                                            make('bdi', {}, visible(reason))))));
}

/**
 * @param {number} matches
 * @param {HTMLElement} which
 * @returns {Promise<Record<string, any>|null>}
 */
async function askReplay(matches, which) {
    const perSecond = make('input', {
        type: 'number',
        required: true,
        min: 1,
        max: PER_SECOND_MAX,
        value: PER_SECOND,
        on: {input: tellTime},
    });
    const takes = make('span', {role: 'status'});
    function tellTime() {
        text(takes, perSecond.validity.valid
                        ? `It takes ${duration(matches / perSecond.valueAsNumber)} or longer.`
                        : `1 to ${PER_SECOND_MAX} a second.`);
    }
    tellTime();
    const yes = await ask({
        title: `Replay ${plural(matches, 'dead letter')}?`,
        content: [
            which,
            make(
                'p', {},
                'Their orders go to the queue again, as they are; what is no order is skipped. At ' +
                    'most 10 are on their way at a time, and it ends when 5 in a row die again. A ' +
                    'job does it, which you can cancel.'),
            make('p', {}, make('label', {}, 'At most ', perSecond, ' a second'), ' ', takes),
        ],
        action: 'Replay',
    });
    return yes ? {per_second: perSecond.valueAsNumber} : null;
}

/**
 * @param {number} matches
 * @param {HTMLElement} which
 */
async function askDiscard(matches, which) {
    const reason = await askWhy(`Discard ${plural(matches, 'dead letter')}?`, [which]);
    return reason === null ? null : {reason};
}
