/* What is done with many dead letters at once: they are counted first, then a person is asked, then
 * a job does it. */
import {explain, post} from './api.js';
import {ask} from './ask.js';
import {make, reveal, text} from './dom.js';
import {filterOf, filterWords} from './letter_filter.js';
import {askWhy, byNumber, tell, whileDisabled} from './letters.js';
import {count, duration, plural, visible} from './words.js';

const PER_SECOND = 50, PER_SECOND_MAX = 1000;

/** The buttons for many letters, what they have to tell, and the progress of the job. */
export function openMany() {
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
        /** @param {import('./poll.js').State} state */
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
 * What a filter chooses, and how many of each reason.
 * @param {Record<string, any>} filter
 * @param {Record<string, number>} byReason
 */
function whichLetters(filter, byReason) {
    const words = filterWords(filter);
    const counts = Object.entries(byReason).sort(byNumber);
    return make('div', {},
                make('p', {},
                     words.length === 0 ? 'All that are dead, without a filter:'
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
