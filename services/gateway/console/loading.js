/* What a view asks for more than once. The last question counts; one that failed for no fault of
 * its own is asked again after a while. */
import {get, Problem} from './api.js';

const AGAIN_MS = 5000;

/**
 * @param {string} path of GET
 * @param {(body: any) => void} onAnswer
 * @param {(error: unknown) => void} onProblem
 */
export function loading(path, onAnswer, onProblem) {
    let current = new AbortController();
    let againAt = Infinity;

    /** Asks now; an answer that has not come yet is not waited for. */
    async function ask() {
        current.abort();
        const mine = current = new AbortController();
        againAt = Infinity;
        try {
            const body = await get(path, mine.signal);
            if (!mine.signal.aborted)
                onAnswer(body);
        } catch (error) {
            if (mine.signal.aborted)
                return;
            if (error instanceof Problem && (error.status === 0 || error.status >= 500))
                againAt = performance.now() + AGAIN_MS;
            onProblem(error);
        }
    }

    return {
        ask,
        /** Asks if the last time failed and is long enough ago. */
        askAgain() {
            if (performance.now() >= againAt)
                void ask();
        },
        close: () => current.abort(),
    };
}
