/* Requests to the gateway that served the page, the operator's token, and what went wrong. */

const TIMEOUT_MS = 10000;
const STORED_AS = 'token'; // in sessionStorage: it ends with the tab

/** Where the browser forbids that, the token ends with the page. */
let kept = stored();

/** An answer that is none of success, or no answer. */
export class Problem extends Error {
    /**
     * @param {number} status 0: there was no answer
     * @param {string} code as in openapi.yaml; `unreachable` without an answer
     * @param {string} title
     * @param {any} [body] the whole problem (RFC 9457)
     */
    constructor(status, code, title, body = {}) {
        super(body.detail ? `${title}: ${body.detail}` : title);
        this.status = status;
        this.code = code;
        this.body = body;
    }
}

/** @returns {string|null} the token that was typed in, if there is one */
export function token() {
    return kept;
}

function stored() {
    try {
        return sessionStorage.getItem(STORED_AS);
    } catch {
        return null;
    }
}

/** @param {string|null} value null forgets it */
export function setToken(value) {
    kept = value;
    try {
        if (value === null)
            sessionStorage.removeItem(STORED_AS);
        else
            sessionStorage.setItem(STORED_AS, value);
    } catch {
        // kept is all there is
    }
}

/**
 * @typedef {object} Options
 * @property {any} [body] sent as JSON
 * @property {string} [json] sent as it is, in place of `body`
 * @property {boolean} [plain] the answer is no JSON; its body is not told
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal] ends the request: what is thrown then is no Problem
 * @property {number} [timeoutMs]
 */

/**
 * Sends a request, and throws a Problem when the answer is none of success or does not come in
 * time.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<{status: number, headers: Headers, body: any}>}
 */
export async function request(method, path, options = {}) {
    options.signal?.throwIfAborted(); // its event has been, and does not come again
    const headers = new Headers(options.headers);
    const secret = token();
    if (secret !== null && path.startsWith('/api/admin/')) {
        headers.set('authorization', `Bearer ${secret}`);
        headers.set('x-operator', 'console');
    }
    const sent =
        options.json ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    if (sent !== undefined)
        headers.set('content-type', 'application/json');
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), options.timeoutMs ?? TIMEOUT_MS);
    const cancel = () => limit.abort();
    options.signal?.addEventListener('abort', cancel);
    try {
        // Relative: a proxy may serve the page under a prefix.
        const answer = await fetch(`.${path}`, {
            method,
            headers,
            body: sent,
            signal: limit.signal,
            credentials: 'omit',
            redirect: 'error',
        });
        const body = parse(await answer.text());
        if (!answer.ok)
            throw new Problem(answer.status, body?.code ?? 'unknown',
                              body?.title ?? `The gateway answered ${answer.status}`, body ?? {});
        if (body === null && !options.plain)
            throw new Problem(0, 'foreign', 'What answers is not the gateway');
        return {status: answer.status, headers: answer.headers, body};
    } catch (error) {
        if (error instanceof Problem || options.signal?.aborted)
            throw error;
        throw new Problem(0, 'unreachable',
                          limit.signal.aborted ? 'The gateway did not answer in time'
                                               : 'The gateway does not answer');
    } finally {
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', cancel);
    }
}

/**
 * The gateway answers with JSON; what stands between, such as a proxy, may answer with anything.
 * @param {string} written
 * @returns {any} null: it is no JSON
 */
function parse(written) {
    try {
        return JSON.parse(written);
    } catch {
        return null;
    }
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the body
 */
export async function get(path, signal) {
    return (await request('GET', path, {signal})).body;
}

/**
 * @param {string} path
 * @param {any} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the body
 */
export async function post(path, body, signal) {
    return (await request('POST', path, {body, signal})).body;
}

/**
 * What to tell a person of an error: what went wrong, and what to do next if that is known.
 * @param {unknown} error
 * @returns {string}
 */
export function explain(error) {
    if (!(error instanceof Problem))
        return `The page is at fault: ${error}`;
    const advice = ADVICE[error.code];
    return advice ? `${error.message}. ${advice}` : `${error.message}.`;
}

/** @type {Record<string, string>} */
const ADVICE = {
    admin_disabled: 'Set ADMIN_TOKEN for the gateway, and start it again.',
    unauthorized: 'Type in another one.',
    read_only_token: 'This token may only look: type in the one of ADMIN_TOKEN.',
    not_found:
        'This port may lack the routes of operators (API_ADMIN=off): open the console on the admin port.',
    outcome_unknown: 'It may have been done: look before you try again.',
    overloaded: 'Try again in a moment.',
    store_unavailable: 'PostgreSQL does not answer: try again when it is back.',
    queue_unavailable: 'Nothing was kept: try again in a moment.',
    foreign: 'See what stands between it and this page: a proxy, or the login of a network.',
    unreachable: 'Try again when it is back.',
};
