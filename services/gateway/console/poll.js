/* Asks once a second how the system is, with one request: with a token the whole status, without
 * one what is public. Nothing is asked while the page is hidden. */
import {explain, Problem, request, setToken, token} from './api.js';
import {nameOf, plain} from './words.js';

export const EACH_MS = 1000;
const PATIENCE_MS = 3000; // then the gateway counts as lost
export const HISTORY_MS = 120000;

/**
 * What is known of the system.
 * @typedef {object} State
 * @property {'asking'|'ready'|'well'|'wrong'|'lost'} condition `ready`: there is no token to ask
 *     whether all is well
 * @property {string} sentence what the condition is, for a person
 * @property {any} report the answer of /api/admin/status; null without a token, or while lost
 * @property {any} readiness the answer of /readyz; null with a token, or while lost
 * @property {{at: number, report: any}[]} history reports of the last two minutes, oldest first;
 *     `at` is in ms of performance.now(), which nobody sets back
 * @property {string} refused why the last token was not taken; empty: it was, or there was none
 */

/** @returns {State} what is known before the first answer */
function nothing() {
    return {
        condition: 'asking',
        sentence: 'Asking the gateway …',
        report: null,
        readiness: null,
        history: [],
        refused: '',
    };
}

const state = nothing();

/** @type {(state: State) => void} */
let tell = () => {};
let lostSince = 0;
let timer = 0;
let question = new AbortController(); // the one that is under way, or the last

/** @returns {State} what is known now */
export function known() {
    return state;
}

/**
 * Begins to ask.
 * @param {(state: State) => void} onState called after each answer, and when none comes
 */
export function startPolling(onState) {
    tell = onState;
    document.addEventListener('visibilitychange', askNow);
    askNow();
}

/** Forgets what was known, as after another token, and asks anew. */
export function askAnew() {
    Object.assign(state, nothing());
    tell(state);
    askNow();
}

/** Asks at once; later questions follow a second apart. */
function askNow() {
    clearTimeout(timer);
    question.abort(); // its answer may be of the token before
    if (!document.hidden)
        void ask();
}

async function ask() {
    const begun = performance.now();
    const {signal} = question = new AbortController();
    try {
        if (token() === null)
            onReadiness(await readiness(signal));
        else
            onReport((await look('/api/admin/status', signal)).body, begun);
        lostSince = 0;
    } catch (error) {
        if (signal.aborted)
            return;
        onProblem(error);
    }
    timer = setTimeout(ask, Math.max(0, begun + EACH_MS - performance.now()));
    tell(state);
}

/**
 * @param {string} path
 * @param {AbortSignal} signal
 */
function look(path, signal) {
    return request('GET', path, {signal, timeoutMs: PATIENCE_MS});
}

/**
 * A gateway that is not ready answers 503 with the same body.
 * @param {AbortSignal} signal
 */
async function readiness(signal) {
    try {
        return (await look('/readyz', signal)).body;
    } catch (error) {
        if (error instanceof Problem && error.body.dependencies)
            return error.body;
        throw error;
    }
}

/** @param {any} answer */
function onReadiness(answer) {
    const down = answer.dependencies.filter((/** @type {any} */ one) => one.status !== 'up')
                     .map((/** @type {any} */ one) => nameOf(one.name));
    state.readiness = answer;
    state.report = null;
    state.history = [];
    state.condition = answer.status === 'ready' ? 'ready' : 'wrong';
    state.sentence =
        answer.status === 'ready'
            ? 'The gateway is ready. Sign in to see the rest.'
            : `The gateway is ${answer.status}; down: ${down.join(', ') || 'nothing'}.`;
}

/**
 * @param {any} answer
 * @param {number} at
 */
function onReport(answer, at) {
    const sentence = plain(answer.summary);
    state.readiness = null;
    state.report = answer;
    state.refused = '';
    state.history =
        [...state.history.filter(one => one.at > at - HISTORY_MS), {at, report: answer}];
    state.condition = answer.well ? 'well' : 'wrong';
    state.sentence = sentence;
}

/** @param {unknown} error */
function onProblem(error) {
    if (token() !== null && error instanceof Problem &&
        [401, 403, 404, 431].includes(error.status)) {
        setToken(null);
        Object.assign(state, nothing(), {refused: explain(error)});
        return;
    }
    if (lostSince === 0)
        lostSince = Date.now();
    state.condition = 'lost';
    state.report = null;
    state.readiness = null;
    const title = error instanceof Problem ? error.message : explain(error);
    state.sentence =
        `${title} since ${new Date(lostSince).toISOString()}. It is asked again every second.`;
}
