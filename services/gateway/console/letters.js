/* What the list of dead letters and one of them have in common. */
import {ask} from './ask.js';
import {make, text} from './dom.js';
import {visible} from './words.js';

/** Said in place of the letters while there is no token. */
export function tokenNote() {
    return make('p', {class: 'card'},
                'Dead letters are for operators. Type in the token above: ADMIN_READ_TOKEN is ' +
                    'enough to look; to replay or discard, it takes ADMIN_TOKEN.');
}

/** @param {string|null} id of an order */
export function orderLink(id) {
    return id ? make('a', {href: `#/find?q=${encodeURIComponent(id)}`, class: 'mono'}, id)
              : make('span', {class: 'faint'}, 'not known');
}

/** @type {Record<string, [string, string]>} */
const STATES = {
    dead: ['wrong', '! dead'],
    replayed: ['well', '✓ replayed'],
    discarded: ['warn', '× discarded'],
};

/**
 * @param {HTMLElement} badge
 * @param {string} state
 */
export function showState(badge, state) {
    const [tone, words] = STATES[state] ?? ['warn', visible(state)];
    badge.className = `badge ${tone}`;
    text(badge, words);
}

/**
 * Asks why something is discarded, and once more whether it is meant.
 * @param {string} title
 * @param {import('./dom.js').Child[]} content
 * @returns {Promise<string|null>} the reason; null: it is not to be done
 */
export async function askWhy(title, content) {
    const reason = make('input', {required: true, maxlength: 500, pattern: '.*\\S.*'});
    const yes = await ask({
        title,
        content: [
            ...content,
            make(
                'p', {},
                'This cannot be undone: what is discarded is never replayed. It can be read until ' +
                    'the retention time is over, then it is deleted.'),
            make('p', {}, make('label', {class: 'block'}, 'Why? (kept with the letter)', reason)),
        ],
        action: 'Discard',
        dangerous: true,
    });
    return yes ? reason.value.trim() : null;
}

/**
 * Keeps a button from being pressed again while it works; it has the focus afterwards, too.
 * @param {HTMLButtonElement} button
 * @param {() => Promise<void>} work
 */
export async function whileDisabled(button, work) {
    const focused = document.activeElement === button;
    button.disabled = true;
    try {
        await work();
    } finally {
        button.disabled = false;
        if (focused && document.activeElement === document.body && button.isConnected)
            button.focus();
    }
}

/**
 * Tells in a view's line what was done, or what went wrong.
 * @param {HTMLElement} line role="status"
 * @param {string} words
 * @param {import('./dom.js').Child} [link] behind them
 * @param {boolean} [wrong]
 */
export function tell(line, words, link, wrong = false) {
    line.className = wrong ? 'error' : '';
    line.replaceChildren(words, ...(link ? [' ', /** @type {Node} */ (link)] : []));
}

/**
 * Sorts reasons with their numbers: the most frequent first.
 * @param {[string, number]} one
 * @param {[string, number]} other
 */
export function byNumber(one, other) {
    return other[1] - one[1] || (one[0] < other[0] ? -1 : 1);
}
