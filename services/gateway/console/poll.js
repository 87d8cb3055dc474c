/* Asks once a second how the system is, with one request: with a token the whole status, without
 * one what is public. Nothing is asked while the page is hidden. */
import {explain, get, Problem, setToken, token} from './api.js';
import {clock} from './words.js';

const EACH_MS = 1000;
export const HISTORY_MS = 120000;

/**
 * What is known of the system.
 * @typedef {object} State
 * @property {'asking'|'well'|'wrong'|'lost'} condition
 * @property {string} sentence what the condition is, for a person
 * @property {any} report the answer of /api/admin/status; null without a token, or while lost
 * @property {any} readiness the answer of /readyz; null with a token, or while lost
 * @property {{at: number, report: any}[]} history reports of the last two minutes, oldest first;
 *     `at` is in ms of the page's clock (Date.now())
 * @property {string} refused why the last token was not taken; empty: it was, or there was none
 */

/** @type {State} */
const state = {
    condition: 'asking',
    sentence: 'Asking the gateway …',
    report: null,
    readiness: null,
    history: [],
    refused: '',
};

/** @type {((state: State) => void)[]} */
const listeners = [];
let lostSince = 0;
let timer = 0;
let asking = false;

/** @returns {State} what is known now */
export function known() {
    return state;
}

/**
 * Begins to ask.
 * @param {(state: State) => void} onState called after each answer, and when none comes
 */
export function startPolling(onState) {
    listeners.push(onState);
    document.addEventListener('visibilitychange', askNow);
    askNow();
}

/** Asks at once, as after another token; later ones follow a second apart. */
export function askNow() {
    clearTimeout(timer);
    if (!document.hidden && !asking)
        void ask();
}

async function ask() {
    const begun = Date.now();
    asking = true;
    try {
        if (token() === null)
            onReadiness(await readiness());
        else
            onReport(await get('/api/admin/status'), begun);
        lostSince = 0;
    } catch (error) {
        onProblem(error);
    }
    asking = false;
    for (const listener of listeners)
        listener(state);
    if (!document.hidden)
        timer = setTimeout(ask, Math.max(0, begun + EACH_MS - Date.now()));
}

/** A gateway that is not ready answers 503 with the same body. */
async function readiness() {
    try {
        return await get('/readyz');
    } catch (error) {
        if (error instanceof Problem && error.body.dependencies)
            return error.body;
        throw error;
    }
}

/** @param {any} answer */
function onReadiness(answer) {
    const down = answer.dependencies.filter((/** @type {any} */ one) => one.status !== 'up')
                     .map((/** @type {any} */ one) => one.name.replaceAll('_', ' '));
    state.readiness = answer;
    state.report = null;
    state.history = [];
    state.condition = answer.status === 'ready' ? 'well' : 'wrong';
    state.sentence =
        answer.status === 'ready'
            ? 'All is well, as far as the gateway tells without a token.'
            : `The gateway is ${answer.status}; down: ${down.join(', ') || 'nothing'}.`;
}

/**
 * @param {any} answer
 * @param {number} at
 */
function onReport(answer, at) {
    state.readiness = null;
    state.report = answer;
    state.refused = '';
    state.history =
        [...state.history.filter(one => one.at > at - HISTORY_MS), {at, report: answer}];
    state.condition = answer.well ? 'well' : 'wrong';
    state.sentence = answer.summary;
}

/** @param {unknown} error */
function onProblem(error) {
    if (error instanceof Problem && [401, 403, 404].includes(error.status)) {
        setToken(null);
        state.refused = explain(error);
        return;
    }
    if (lostSince === 0)
        lostSince = Date.now();
    state.condition = 'lost';
    state.report = null;
    state.readiness = null;
    state.sentence =
        `${explain(error)} Asked again every second since ${clock(new Date(lostSince))}.`;
}
