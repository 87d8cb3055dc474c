/* Jobs: those about the search index are begun here, and all are listed. */
import {explain, post, Problem, token} from '../api.js';
import {ask} from '../ask.js';
import {table} from '../blocks.js';
import {make, reconcile, reveal, show, text} from '../dom.js';
import {askedBy, stateBadge, tookSeconds} from '../job_words.js';
import {loading} from '../loading.js';
import {known} from '../poll.js';
import {progress} from '../progress.js';
import {duration, plural, time, UNKNOWN, visible} from '../words.js';

const PAGE = 25;

/** @typedef {import('../poll.js').State} State */

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} parameters
 * @returns {import('../main.js').View}
 */
export function openJobs(place, parameters) {
    const heading = make('h2', {}, 'Jobs');
    if (token() === null) {
        show(place, heading,
             make('p', {}, 'Jobs are shown and begun with a token: type it in above.'));
        return {title: 'Jobs'};
    }
    const forms = beginning(() => void question.ask());
    const body = make('tbody');
    const problem = make('p', {class: 'error', role: 'alert'});
    const pages = make('p', {class: 'pages'});
    show(place, heading, forms.element, make('h3', {}, 'History'), problem,
         table('History', 'Newest first',
               ['Job', 'Kind', 'State', 'Done', 'Asked for by', 'When', 'Took'], body),
         pages);

    const cursor = parameters.get('cursor');
    const path = `/api/admin/jobs?limit=${PAGE}` +
                 (cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`);
    /** @type {any[]} */
    let jobs = [];
    let unfinished = ''; // when the list was asked for
    const question = loading(path, onPage, error => text(problem, explain(error)));

    /** @param {any} page */
    function onPage(page) {
        jobs = page.jobs;
        text(problem, '');
        show(pages, cursor !== null && make('a', {href: '#/jobs'}, 'Newest'),
             page.next !== null &&
                 make('a', {href: `#/jobs?cursor=${encodeURIComponent(page.next)}`}, 'Older'),
             jobs.length === 0 && 'There is no job.');
        update(known());
    }

    /** @param {State} state */
    function update(state) {
        const newer = new Map(state.report?.jobs?.map((/** @type {any} */ job) => [job.id, job]));
        jobs = jobs.map(job => job.finished_at === null ? newer.get(job.id) ?? job : job);
        reconcile(body, jobs, job => job.id, () => buildRow());
    }

    return {
        title: 'Jobs',
        onState(state) {
            question.askAgain();
            if (!state.report)
                return;
            update(state);
            const now = unfinishedIn(state);
            if (now === unfinished)
                return;
            unfinished = now;
            void question.ask();
        },
        close() {
            question.close();
            forms.close();
        },
    };
}

/**
 * Another text when a job has appeared or ended, and none that is empty.
 * @param {State} state
 */
function unfinishedIn(state) {
    const jobs = state.report.jobs ?? [];
    const words =
        jobs.map((/** @type {any} */ job) => `${job.id} ${job.finished_at ? 'ended' : ''}`);
    return `known: ${words}`;
}

/** @returns {import('../dom.js').Row<any>} */
function buildRow() {
    const link = make('a'), kind = make('bdi'), state = make('td', {class: 'nowrap'}),
          by = make('td'), when = make('td'), took = make('td');
    const bar = progress();
    const element = make('tr', {}, make('th', {scope: 'row'}, link), make('td', {}, kind), state,
                         make('td', {}, bar.element), by, when, took);
    /** @type {any} */
    let shown = null;
    return {
        element,
        update(job) {
            if (job === shown)
                return;
            if (shown === null) {
                link.href = `#/jobs/${job.id}`;
                text(link, job.id);
                text(kind, visible(job.kind));
                show(by, askedBy(job));
                show(when, time(job.requested_at));
            }
            if (shown?.state !== job.state || shown.cancel_requested !== job.cancel_requested)
                show(state, stateBadge(job));
            text(took, timeOf(job));
            bar.update(job, known().history);
            shown = job;
        },
    };
}

/** @param {any} job */
function timeOf(job) {
    if (!job.started_at || !job.finished_at)
        return UNKNOWN;
    return duration(tookSeconds(job));
}

/* ---- beginning one ---- */

/**
 * @typedef {{keep_old?: boolean, full?: boolean, fields?: boolean, delete_extra?: boolean}} Asked
 */

/** @param {() => void} onBegun */
function beginning(onBegun) {
    const told = make('p', {role: 'status'});
    const stop = new AbortController();

    /**
     * @param {string} kind
     * @param {Asked} parameters
     * @param {HTMLButtonElement} button
     */
    async function begin(kind, parameters, button) {
        const question = QUESTIONS[kind]?.(parameters);
        if (question && (!await ask(question) || stop.signal.aborted))
            return;
        button.disabled = true;
        text(told, `Asking for the ${kind} …`);
        reveal(told);
        try {
            const job = await post('/api/admin/jobs', {kind, parameters}, stop.signal);
            show(told, linkTo(job), ' has begun.');
            onBegun();
        } catch (error) {
            if (stop.signal.aborted)
                return;
            if (error instanceof Problem && error.code === 'job_unfinished')
                show(told, 'It is not begun: one such job is under way at a time, and ',
                     linkTo(error.body.job), ' has not ended. Wait for its end, or cancel it.');
            else
                text(told, explain(error));
        }
        reveal(told);
        button.disabled = false;
    }

    /**
     * @param {string} kind
     * @param {string} title
     * @param {string} does
     * @param {Record<string, HTMLInputElement|HTMLSelectElement>} fields by parameter
     */
    function card(kind, title, does, fields) {
        const button = make('button', {class: 'main'}, title);
        const read = () => Object.fromEntries(Object.entries(fields).map(
            ([name, field]) => [name, field instanceof HTMLInputElement ? field.checked
                                                                        : field.value === 'all']));
        return make(
            'form', {
                class: 'card',
                'aria-label': title,
                on: {
                    submit: (/** @type {Event} */ event) => {
                        event.preventDefault();
                        void begin(kind, read(), button);
                    },
                },
            },
            make('h3', {}, title), make('p', {class: 'faint'}, does),
            Object.entries(fields).map(([name, field]) => make('label', {},
                                                               field instanceof HTMLInputElement
                                                                   ? [field, ` ${LABELS[name]}`]
                                                                   : [`${LABELS[name]} `, field])),
            make('p', {}, button));
    }

    const element = make(
        'div', {class: 'cards'},
        card(
            'reindex', 'Rebuild the index (reindex)',
            'Makes a new search index of all orders, and puts it in the place of the old one when it is complete.',
            {keep_old: checkbox()}),
        card(
            'verify', 'Verify',
            'Compares PostgreSQL and the search index: what is missing, extra or different. It changes nothing.',
            {full: orders(), fields: checkbox()}),
        card('repair', 'Repair', 'Verifies, and indexes again what is missing or different.',
             {full: orders(), fields: checkbox(), delete_extra: checkbox()}));
    return {element: make('div', {}, element, told), close: () => stop.abort()};
}

/** @type {Record<string, string>} by parameter */
const LABELS = {
    keep_old: 'Keep the old index',
    full: 'Orders',
    fields: 'Compare every field, not only counts and sums',
    delete_extra: 'Delete documents that have no order',
};

function checkbox() {
    return make('input', {type: 'checkbox'});
}

function orders() {
    return make('select', {}, make('option', {value: 'recent'}, 'of the last 7 days'),
                make('option', {value: 'all'}, 'all'));
}

/** @param {any} job */
function linkTo(job) {
    return make('a', {href: `#/jobs/${job.id}`}, `Job ${job.id} (${visible(job.kind)})`);
}

/** @type {Record<string, (parameters: Asked) => import('../ask.js').Question|null>} */
const QUESTIONS = {
    reindex: parameters => {
        const documents = known().report?.documents;
        return {
            title: 'Rebuild the search index?',
            content: [
                make('p', {},
                     `It copies every order to a new index${
                         documents ? ` (the old one has ${plural(documents, 'document')})`
                                   : ''}. ` +
                         'Search goes on in the old one until the new one is complete.'),
                make('p', {},
                     parameters.keep_old
                         ? 'The old index stays; the page of the job says how to delete it later.'
                         : 'Then it deletes the old index.'),
            ],
            action: 'Rebuild',
            dangerous: !parameters.keep_old,
        };
    },
    repair: parameters => parameters.delete_extra ? {
        title: 'Repair, and delete documents?',
        content: [
            make('p', {},
                 `It deletes each document ${
                     parameters.full ? ''
                                     : 'of the last 7 days '}in the search index that has no ` +
                     'order in PostgreSQL. That can\'t be undone.'),
            make('p', {}, 'It also indexes again what is missing or different.'),
        ],
        action: 'Repair and delete',
        dangerous: true,
    }
                                                  : null,
};
