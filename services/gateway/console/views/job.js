/* All about one job, until its end and after it. */
import {explain, post, Problem, token} from '../api.js';
import {ask} from '../ask.js';
import {make, reconcile, reveal, show, text} from '../dom.js';
import {askedBy, parameters, result, stateBadge, tookSeconds} from '../job_words.js';
import {loading} from '../loading.js';
import {known} from '../poll.js';
import {progress} from '../progress.js';
import {duration, time, visible} from '../words.js';

/** @typedef {import('../job_words.js').Fact} Fact */

/** @type {Record<string, string>} what is left when it is canceled */
const LEFT = {
    reindex:
        'Search goes on in the old index, and what was copied is deleted. If the new index has taken its place already, both are kept.',
    verify: 'It changes nothing; what it found so far is kept.',
    repair: 'What it repaired so far stays repaired.',
    replay: 'The letters that it sent so far stay sent, the others stay dead.',
    discard: 'The letters that it discarded so far stay discarded, the others stay dead.',
};

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} _parameters
 * @param {string} id
 * @returns {import('../main.js').View}
 */
export function openJob(place, _parameters, id) {
    const title = `Job ${id}`;
    const heading = make('h2', {}, title);
    const told = make('p', {role: 'status'});
    const back = make('p', {}, make('a', {href: '#/jobs'}, 'All jobs'));
    if (token() === null) {
        show(place, heading, make('p', {}, 'A job is shown with a token: type it in above.'));
        return {title};
    }
    const bar = progress();
    const cancel =
        make('button', {class: 'dangerous', on: {click: () => void onCancel()}}, 'Cancel the job');
    const problem = make('p', {class: 'error', role: 'alert'});
    const facts = make('dl', {class: 'told-of'});
    const stop = new AbortController();
    show(place, heading, problem, bar.element, facts, make('p', {}, cancel), told, back);
    cancel.hidden = true;

    /** @type {any} */
    let job = null;
    let canceling = false;
    const question =
        loading(`/api/admin/jobs/${id}`, update, error => text(problem, explain(error)));

    /** @param {any} newer */
    function update(newer) {
        job = newer;
        text(problem, '');
        bar.update(job, known().history);
        showFacts(facts, describe(job));
        cancel.hidden = job.finished_at !== null || job.kind === 'refresh';
        cancel.disabled = canceling || job.cancel_requested;
        if (canceling)
            text(told, job.finished_at === null   ? 'It was asked to stop.'
                       : job.state === 'canceled' ? 'It is canceled.'
                                                  : 'It had ended before.');
    }

    async function onCancel() {
        const agreed = await ask({
            title: `Cancel job ${id} (${job.kind})?`,
            content: [make('p', {}, LEFT[job.kind] ?? 'It ends within a second.')],
            action: 'Cancel the job',
            refusal: 'Let it go on',
            dangerous: true,
        });
        if (!agreed || stop.signal.aborted)
            return;
        cancel.disabled = true;
        text(told, 'Asking …');
        try {
            const newer = await post(`/api/admin/jobs/${id}/cancel`, undefined, stop.signal);
            canceling = true;
            update(newer);
            reveal(told);
        } catch (error) {
            if (stop.signal.aborted)
                return;
            cancel.disabled = false;
            text(told, explain(error));
            reveal(told);
            if (error instanceof Problem && error.code === 'job_finished')
                void question.ask();
        }
    }

    void question.ask();
    return {
        title,
        onState(state) {
            question.askAgain();
            if (job === null || job.finished_at !== null || !state.report?.jobs)
                return;
            const row = state.report.jobs.find((/** @type {any} */ one) => String(one.id) === id);
            if (row && !row.finished_at)
                update(row);
            else // it has ended, or newer ones have taken its place in the report
                void question.ask();
        },
        close() {
            question.close();
            stop.abort();
        },
    };
}

/** @param {any} job */
function describe(job) {
    const took = job.started_at && job.finished_at && ` (took ${duration(tookSeconds(job))})`;
    /** @param {string} look */
    const why = look =>
        job.error ? [make('bdi', {class: look}, visible(job.error, {lines: true}))] : [];
    /** @type {Fact[]} */
    const facts = [
        ['Kind', [make('bdi', {}, visible(job.kind))]],
        ['State', [stateBadge(job)]],
        ['To do', parameters(job)],
        ['Asked for by', [askedBy(job), ', ', time(job.requested_at)]],
        ['Started', [time(job.started_at)]],
        ['Finished', [time(job.finished_at), took]],
        job.state === 'canceled' ? ['What is left', why('')] : ['Error', why('error')],
        ...result(job),
    ];
    return facts.filter(([, told]) => told.length > 0);
}

/**
 * Leaves alone what is told already.
 * @param {HTMLElement} list
 * @param {Fact[]} facts
 */
function showFacts(list, facts) {
    reconcile(list, facts, ([label]) => label, ([label]) => {
        let content = make('dd');
        const element = make('div', {}, make('dt', {}, label), content);
        return {
            element,
            update([, told]) {
                const fresh = make('dd', {}, told);
                if (fresh.isEqualNode(content))
                    return;
                content.replaceWith(fresh);
                content = fresh;
            },
        };
    });
}
