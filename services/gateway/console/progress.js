/* How far a job is: a bar, and the same in words. */
import {make, text} from './dom.js';
import {count, duration, rate, share} from './words.js';

const WINDOW_MS = 30000; // the rate is of so long

/** @type {Record<string, string>} phases whose names say too little */
const PHASES = {
    refreshing: 'making the copies searchable',
    comparing: 'comparing it with PostgreSQL',
    swapping: 'putting it in the place of the old index',
    tail: 'copying the orders that came meanwhile',
    'comparing again': 'comparing it with PostgreSQL again',
};

/**
 * @returns {{element: HTMLElement, update: (job: any, history:
 *     import('./poll.js').State['history'])
 *     => void}} `history` is what the page saw
 */
export function progress() {
    const words = make('span');
    const element = make('span', {class: 'progress'}, words);
    /** @type {HTMLProgressElement|null} */
    let bar = null; // while the job has not ended
    return {
        element,
        update(job, history) {
            const known = job.total !== null && job.total > 0;
            text(words, told(job, known, history));
            if (job.finished_at !== null) {
                bar?.remove();
                bar = null;
                return;
            }
            if (bar === null)
                element.prepend(bar = make('progress', {max: 1, 'aria-label': `Job ${job.id}`}));
            if (known)
                bar.value = Math.min(1, job.done / job.total);
            else
                bar.removeAttribute('value');
        },
    };
}

/**
 * @param {any} job
 * @param {boolean} known whether its total is
 * @param {import('./poll.js').State['history']} history
 */
function told(job, known, history) {
    if (job.state === 'waiting')
        return 'waits for a scheduler';
    const parts = [];
    if (job.state === 'running' && job.result?.phase)
        parts.push(PHASES[job.result.phase] ?? job.result.phase);
    if (known)
        parts.push(`${count(job.done)} of ${count(job.total)}`);
    if (job.state === 'running' && known) {
        const perSecond = rateOf(job, history);
        if (job.done < job.total)
            parts.push(share(job.done / job.total));
        if (perSecond > 0) {
            parts.push(rate(perSecond));
            if (job.done < job.total)
                parts.push(`${duration((job.total - job.done) / perSecond)} left`);
        }
    }
    return parts.join(', ');
}

/**
 * What was done a second, from the numbers that the page saw. Each phase counts anew.
 * @param {any} job
 * @param {import('./poll.js').State['history']} history
 */
function rateOf(job, history) {
    const last = history.at(-1)?.at ?? 0;
    let first = null, at = 0, later = 0;
    for (const seen of history) {
        const then = seen.report.jobs?.find((/** @type {any} */ one) => one.id === job.id);
        if (seen.at < last - WINDOW_MS || then?.state !== 'running')
            continue;
        if (first === null || then.done < later || then.result?.phase !== first.result?.phase)
            [first, at] = [then, seen.at];
        later = then.done;
    }
    return first === null || last === at ? 0 : (later - first.done) * 1000 / (last - at);
}
