/* The frame of the page: the view that the address names, the sentence on top, and the token. */
import {setToken, token} from './api.js';
import {make, reconcile, show, text} from './dom.js';
import {askAnew, known, startPolling} from './poll.js';
import {openDead} from './views/dead.js';
import {openFind} from './views/find.js';
import {openJob} from './views/job.js';
import {openJobs} from './views/jobs.js';
import {openLetter} from './views/letter.js';
import {openSales} from './views/sales.js';
import {openTry} from './views/try.js';
import {openWay} from './views/way.js';
import {plain, say} from './words.js';

/**
 * @typedef {object} View
 * @property {string} title
 * @property {(state: import('./poll.js').State) => void} [onState] called each second
 * @property {(parameters: URLSearchParams) => void} [onParameters] the same path has others now;
 *     without it, the view is opened again
 * @property {() => void} [close] ends what is under way
 */

/** @typedef {(place: HTMLElement, parameters: URLSearchParams, id: string) => View} Open */

/** @type {[RegExp, Open][]} */
const VIEWS = [
    [/^\/$/, openWay],
    [/^\/try$/, openTry],
    [/^\/find$/, openFind],
    [/^\/sales$/, openSales],
    [/^\/dead$/, openDead],
    [/^\/dead\/(\d+)$/, openLetter],
    [/^\/jobs$/, openJobs],
    [/^\/jobs\/(\d+)$/, openJob],
    [/^/, openNothing],
];

const place = /** @type {HTMLElement} */ (document.getElementById('view'));
const sentence = /** @type {HTMLElement} */ (document.getElementById('sentence'));
const access = /** @type {HTMLElement} */ (document.getElementById('access'));
const SYMBOLS = {
    asking: '…',
    ready: 'i',
    well: '✓',
    wrong: '!',
    lost: '×'
};

/** @type {View|null} */
let view = null;
/** @type {string|null} */
let path = null;

/** Shows what the address names. */
function followAddress() {
    const [wanted, query] = (location.hash.slice(1) || '/').split(/\?(.*)/s, 2);
    const parameters = new URLSearchParams(query);
    if (view?.onParameters && wanted === path) {
        view.onParameters(parameters);
        return;
    }
    open(wanted, parameters);
}

/**
 * @param {string} wanted
 * @param {URLSearchParams} parameters
 */
function open(wanted, parameters) {
    const first = path === null;
    for (const [pattern, openView] of VIEWS) {
        const match = pattern.exec(wanted);
        if (!match)
            continue;
        view?.close?.();
        const section = make('section');
        view = openView(section, parameters, match[1] ?? '');
        path = wanted;
        show(place, section);
        break;
    }
    document.title = `${view?.title} · Order pipeline`;
    for (const link of document.querySelectorAll('nav a')) {
        const target = /** @type {string} */ (link.getAttribute('href')).slice(1);
        const here = target === wanted || (target !== '/' && wanted.startsWith(`${target}/`));
        if (here)
            link.setAttribute('aria-current', 'page');
        else
            link.removeAttribute('aria-current');
    }
    view?.onState?.(known());
    if (!first) { // where a screen reader goes on from
        place.focus({preventScroll: true});
        scrollTo(0, 0);
    }
}

/** @param {HTMLElement} section */
function openNothing(section) {
    show(section, make('h2', {}, 'Nothing is here'),
         make('p', {}, 'This address names no view: choose one above.'));
    return {title: 'Nothing is here'};
}

/* ---- the sentence on top ---- */

const symbol = make('span', {class: 'symbol', 'aria-hidden': 'true'});
const words = make('span');
const problems = make('ul');
const all = make('details', {}, make('summary', {}, 'All that is wrong'), problems);
const column = make('div', {}, words);
show(sentence, symbol, column);

/** @param {import('./poll.js').State} state */
function onState(state) {
    sentence.className = state.condition;
    text(symbol, SYMBOLS[state.condition]);
    say(words, state.sentence);
    /** @type {string[]} */
    const told = state.report?.problems ?? [];
    reconcile(problems, told, problem => problem, item);
    if (told.length < 2) // the sentence says it
        all.remove();
    else if (!all.isConnected)
        column.append(all);
    showAccess(state.refused);
    view?.onState?.(state);
}

/** @param {string} problem */
function item(problem) {
    const element = make('li');
    say(element, plain(problem));
    return {element, update: () => {}};
}

/* ---- the token ---- */

const field = make('input', {
    type: 'password',
    required: true,
    pattern: '\\s*[!-~]+\\s*',
    title: 'A token is printable ASCII without blanks.',
    autocomplete: 'off',
    spellcheck: 'false',
});
const refused = make('span', {class: 'refused error', role: 'alert'});
const signIn =
    make('form', {
        on: {
            submit: (/** @type {Event} */ event) => {
                event.preventDefault();
                changeToken(field.value.trim());
                field.value = '';
            },
        },
    },
         make('label', {title: 'ADMIN_TOKEN, or ADMIN_READ_TOKEN to look only'}, 'Token ', field),
         make('button', {}, 'Sign in'), refused);
const signOut =
    make('button', {type: 'button', on: {click: () => changeToken(null)}}, 'Forget the token');

/** @param {string|null} value */
function changeToken(value) {
    setToken(value);
    askAnew();
    path = null; // what the view shows may depend on it
    followAddress();
}

/** @param {string} reason why the last token was not taken */
function showAccess(reason) {
    const wanted = token() === null ? signIn : signOut;
    if (access.firstChild !== wanted)
        show(access, wanted);
    text(refused, reason);
}

showAccess('');
addEventListener('hashchange', followAddress);
followAddress();
startPolling(onState);
