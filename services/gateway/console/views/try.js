/* Try it: a form that sends an order, and what becomes of it as it happens. */
import {explain, Problem, request} from '../api.js';
import {tellDelay} from '../delay.js';
import {make, show, text} from '../dom.js';
import {numberOrText} from '../json_text.js';
import {known} from '../poll.js';
import {clock, duration, isOrderId, time, visible} from '../words.js';

const EACH_MS = 50;
const SLOW_MS = 1000; // after a minute, and while there is no answer
const MINUTE_MS = 60000;
const LONG_MS = 5000; // a step that takes longer is told of
const UNUSUAL = 'It takes longer than usual. It is safe, and goes on by itself.';
const STEPS = ['accepted', 'stored', 'searchable'];
const AGAIN = 'Send it again: the same key goes with it, so it stays one order.';
/** @type {Record<string, string>} code of a problem → what to tell after it */
const DOUBTS = {
    outcome_unknown: AGAIN,
    unreachable: `The order may have been accepted. ${AGAIN}`,
};

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} parameters `id`: an order to follow
 * @returns {import('../main.js').View}
 */
export function openTry(place, parameters) {
    const name = labelled('Product name', {value: 'Trial order', size: 30});
    const price = labelled('Amount', {value: '1.00', size: 14, inputmode: 'decimal'});
    const send = make('button', {class: 'main'}, 'Send the order');
    const form = make('form', {class: 'fields stacked', on: {submit, input: forgive}}, name.element,
                      price.element, send);
    const message = make('p', {role: 'status'});
    const sending = make(
        'div', {},
        make('p', {},
             'This sends a real order: it is stored, found and counted in the sales like any ' +
                 'other, and cannot be taken back.'),
        form, message);
    const way = make('div');
    show(place, make('h2', {}, 'Try it'), sending, way);

    /**
     * What was sent last and is not known to be accepted.
     * @type {{body: string, key: string}|null}
     */
    let unsure = null;
    let shown = '';
    let underWay = new AbortController();
    onParameters(parameters);

    /** @param {URLSearchParams} wanted */
    function onParameters(wanted) {
        const id = wanted.get('id') ?? '';
        if (id && id === shown)
            return;
        underWay.abort();
        underWay = new AbortController();
        shown = id;
        unsure = null;
        forgive();
        enable(true);
        sending.hidden = id !== '';
        if (id) {
            follow(id, null);
        } else {
            show(way);
            name.field.select();
        }
    }

    /**
     * @param {string} id
     * @param {number|null} begun as of followOrder()
     */
    function follow(id, begun) {
        text(message, '');
        if (isOrderId(id))
            show(way, followOrder(id, begun, underWay.signal));
        else
            show(way, make('p', {class: 'error'}, 'The address does not have the id of an order.'));
        way.append(make('p', {}, make('a', {href: '#/try'}, 'Send another order')));
    }

    /** @param {boolean} on */
    function enable(on) {
        for (const control of [name.field, price.field, send])
            control.disabled = !on;
    }

    /** The words of an error go as soon as something is changed. */
    function forgive() {
        text(message, '');
        for (const one of [name, price])
            one.complain('');
    }

    /** @param {Event} event */
    async function submit(event) {
        event.preventDefault();
        const begun = performance.now();
        const body = writeOrder(name.field.value, price.field.value.trim());
        if (unsure?.body !== body)
            unsure = {body, key: newKey()};
        forgive();
        enable(false);
        text(message, 'Sending …');
        const signal = underWay.signal;
        try {
            const answer = await request('POST', '/api/orders', {
                json: body,
                headers: {'idempotency-key': unsure.key},
                signal,
            });
            unsure = null;
            shown = answer.body.order_id;
            history.pushState(null, '', `#/try?id=${shown}`);
            follow(shown, begun);
            way.querySelector('h3')?.focus();
        } catch (error) {
            if (!signal.aborted)
                onProblem(error);
        }
    }

    /** @param {unknown} error */
    function onProblem(error) {
        enable(true);
        const detail =
            error instanceof Problem && error.status < 500 ? error.body.detail ?? '' : '';
        const wrong = detail.startsWith('product_name ') ? name
                      : detail.startsWith('amount ')     ? price
                                                         : null;
        if (wrong) {
            text(message, 'The order was not accepted: a field is wrong.');
            wrong.complain(/^\s*\d+,\d+\s*$/.test(wrong.field.value) && wrong === price
                               ? `${detail}: write it with a point, such as 12.50`
                               : detail);
            wrong.field.focus();
            return;
        }
        const doubt = error instanceof Problem && DOUBTS[error.code];
        text(message, doubt ? `${error.message}. ${doubt}` : explain(error));
        send.focus();
    }

    return {title: 'Try it', onParameters, close: () => underWay.abort()};
}

/**
 * A field with its label, and a place for what is wrong with it.
 * @param {string} label
 * @param {Record<string, any>} attributes
 */
function labelled(label, attributes) {
    const id = `wrong-${label.replace(' ', '-').toLowerCase()}`;
    const field = make('input', {
        required: true,
        autocomplete: 'off',
        spellcheck: 'false',
        'aria-describedby': id,
        ...attributes,
    });
    const wrong = make('span', {class: 'error', id});
    return {
        field,
        element: make('div', {}, make('label', {}, label, field), wrong),
        /** @param {string} words none: it is right, as far as is known */
        complain(words) {
            text(wrong, words);
            field.setAttribute('aria-invalid', String(words !== ''));
        },
    };
}

/**
 * The body of the request. The amount's digits are sent as they were typed, not as the double
 * nearest to them; what is no number in JSON is sent as a text, so that the gateway says so.
 * @param {string} name
 * @param {string} amount
 */
function writeOrder(name, amount) {
    return `{"product_name":${JSON.stringify(name)},"amount":${numberOrText(amount)}}`;
}

/** crypto.randomUUID() is there only over HTTPS and on loopback. */
function newKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

/* ---- what becomes of it ---- */

/**
 * Follows an order until it is searchable or dead, or the signal comes; not while the tab is
 * hidden.
 * @param {string} id
 * @param {number|null} begun when it was sent (performance.now()); null: that is not known, and so
 *     neither is how long a step took
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
function followOrder(id, begun, signal) {
    const steps = STEPS.map(makeStep);
    const waited = make('p', {class: 'faint', 'aria-hidden': 'true'});
    const message = make('p', {role: 'status'});
    const opened = performance.now();
    let answered = opened; // when the last answer came
    let moved = opened, taken = 0;
    let asking = false, ended = false;
    let timer = 0;
    if (begun !== null)
        steps[0].reach(duration((opened - begun) / 1000));
    document.addEventListener('visibilitychange', goOn, {signal});
    void ask();

    function goOn() {
        clearTimeout(timer);
        if (!document.hidden && !asking)
            void ask();
    }

    async function ask() {
        if (ended || signal.aborted)
            return;
        const asked = performance.now();
        let wait = asked - opened < MINUTE_MS ? EACH_MS : SLOW_MS;
        asking = true;
        try {
            onFate((await request('GET', `/api/orders/${id}/status`, {signal})).body);
        } catch (error) {
            if (!signal.aborted)
                onProblem(error);
            wait = SLOW_MS;
        }
        asking = false;
        if (!document.hidden)
            timer = setTimeout(ask, Math.max(0, asked + wait - performance.now()));
    }

    /** @param {unknown} error */
    function onProblem(error) {
        text(message, explain(error));
        ended = error instanceof Problem && error.status === 404;
        for (const step of steps)
            step.wait(ended ? '×' : '?', '');
    }

    /** @param {any} fate */
    function onFate(fate) {
        const now = performance.now();
        const took = begun === null ? '' : duration((now - begun) / 1000);
        const isLate = now - answered > SLOW_MS; // it may have been reached long before
        const isFirst = answered === opened;
        const reached = [true, fate.stored || fate.searchable, fate.searchable];
        ended = fate.state === 'searchable' || fate.state === 'dead';
        for (const [i, step] of steps.entries()) {
            if (reached[i] === null)
                step.wait('?', 'cannot be told now');
            else if (!reached[i])
                step.wait(ended ? '×' : '…', '');
            else if (took)
                step.reach(isLate ? `within ${took}` : took);
            else if (!isFirst)
                step.reach(`seen ${clock(new Date())}`);
            else
                step.reach(...(
                    i === 0 && fate.accepted_at ? ['(created ', time(fate.accepted_at), ')'] : []));
        }
        answered = now;
        const count = reached.filter(one => one === true).length;
        if (count > taken)
            [moved, taken] = [now, count];
        text(waited, took && !ended ? `${took} so far` : '');
        if (fate.state === 'dead')
            show(message, 'It died', took && ` ${isLate ? 'within' : 'after'} ${took}`,
                 describeDeath(fate.dead_letters));
        else
            text(message, ended                   ? 'It has come all the way: searches find it.'
                          : now - moved < LONG_MS ? ''
                                                  : tellDelay(known(), fate) || UNUSUAL);
    }

    return make(
        'div', {},
        make('h3', {tabindex: -1}, 'Order ',
             make('a', {href: `#/find?q=${id}`}, make('code', {}, id))),
        make('ol', {class: 'steps', 'aria-live': 'polite'}, steps.map(step => step.element)),
        waited, message);
}

/** @param {any[]|null} letters */
function describeDeath(letters) {
    const told =
        (letters ?? [])
            .filter(letter => letter.state !== 'replayed')
            .flatMap(letter => [' ',
                                make('bdi', {}, visible(letter.reason)),
                                ' at the stage ',
                                make('bdi', {}, visible(letter.stage)),
                                ' (',
                                make('a', {href: `#/dead/${letter.id}`}, `letter ${letter.id}`),
                                ').',
    ]);
    return told.length ? [':', ...told] : ['.'];
}

/** @param {string} name */
function makeStep(name) {
    const symbol = make('span', {'aria-hidden': 'true'}, '…');
    const told = make('span');
    const element = make('li', {}, symbol, ` ${name} `, told);
    return {
        element,
        /**
         * It is not reached, unless it was before.
         * @param {string} sign
         * @param {string} words
         */
        wait(sign, words) {
            if (element.className === 'reached')
                return;
            text(symbol, sign);
            text(told, words);
        },
        /**
         * The first time counts.
         * @param {...import('../dom.js').Child} when
         */
        reach(...when) {
            if (element.className === 'reached')
                return;
            element.className = 'reached';
            text(symbol, '✓');
            show(told, when);
        },
    };
}
