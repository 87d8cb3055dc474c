/* One dead letter: what it holds, why it died, what became of it, and what can be done with it. */
import {explain, get, post, Problem, request, token} from '../api.js';
import {factList} from '../blocks.js';
import {firstBytes, hexDump} from '../bytes.js';
import {make, reveal, show, text} from '../dom.js';
import {decoded, isJson, isText, members, numberOrText, pretty} from '../json_text.js';
import {askWhy, orderLink, showState, tell, tokenNote, whileDisabled} from '../letters.js';
import {explainReason, explainStage} from '../reasons.js';
import {count, operator, plural, size, time, UNKNOWN, visible} from '../words.js';

const TEXT_SHOWN = 32768; // characters
const BYTES_SHOWN = 4096;
const ORDER_READ = 65536; // characters: no order is longer

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} _parameters
 * @param {string} id
 * @returns {import('../main.js').View}
 */
export function openLetter(place, _parameters, id) {
    const title = `Dead letter ${id}`;
    const heading = make('h2', {tabindex: -1}, title);
    const back = make('p', {}, make('a', {href: '#/dead'}, 'All dead letters'));
    if (token() === null) {
        show(place, heading, back, tokenNote());
        return {title};
    }
    const told = make('p', {role: 'status'});
    const content = make('div');
    const ended = new AbortController();
    let failed = false, loading = false;
    show(place, heading, back, told, content);

    async function load() {
        loading = true;
        try {
            const letter = await get(`/api/admin/dead-letters/${id}`, ended.signal);
            if (failed)
                tell(told, '');
            failed = false;
            show(content, showLetter(letter, {settle, refused, signal: ended.signal}));
        } catch (error) {
            if (!ended.signal.aborted)
                refused(error);
            failed = !(error instanceof Problem) || error.status >= 500 || error.status === 0;
        }
        loading = false;
    }

    /**
     * Shows what the letter has become.
     * @param {string} words
     * @param {HTMLElement} [link]
     */
    async function settle(words, link) {
        tell(told, words, link);
        await load();
        heading.focus(); // the button that did it is gone
    }

    /**
     * Says why something was not done; somebody else may have done something before.
     * @param {unknown} error
     */
    function refused(error) {
        if (ended.signal.aborted)
            return;
        tell(told, explain(error), null, true);
        reveal(told);
        if (error instanceof Problem &&
            ['dead_letter_settled', 'outcome_unknown'].includes(error.code))
            void load();
    }

    void load();
    return {
        title,
        onState(state) {
            if (failed && !loading && state.report?.dead_letters)
                void load();
        },
        close: () => ended.abort(),
    };
}

/**
 * @typedef {object} Actions
 * @property {(words: string, link?: HTMLElement) => Promise<void>} settle it was done
 * @property {(error: unknown) => void} refused
 * @property {AbortSignal} signal
 */

/**
 * @param {any} letter
 * @param {Actions} actions
 */
function showLetter(letter, actions) {
    return [
        facts(letter),
        make('h3', {}, 'What became of it'),
        fate(letter),
        ...(letter.state === 'dead'
                ? [make('h3', {}, 'What to do with it'), buttons(letter, actions),
                   make('h3', {}, 'Correct and replay'), correction(letter, actions)]
                : []),
        make('h3', {}, 'Body'),
        ...body(letter),
        make('h3', {}, 'Properties of the message'),
        shownText('Properties', pretty(JSON.stringify(letter.properties), TEXT_SHOWN)),
    ];
}

/* ---- what it says ---- */

/** @param {any} letter */
function facts(letter) {
    const state = make('span');
    showState(state, letter.state);
    const {means, advice} = explainReason(letter.reason);
    return factList([
        ['State', state],
        ['Reason', [make('strong', {}, data(letter.reason)), ` ${means}`]],
        ['What to do', letter.state === 'dead' && advice],
        ['Detail', data(letter.detail)],
        ['Stage', [data(letter.stage), `: it died ${explainStage(letter.stage)}`]],
        ['Order', orderLink(letter.order_id)],
        ['Died', time(letter.died_at)],
        ['Archived', time(letter.archived_at)],
        ['Given to workers', plural(letter.attempts, 'time')],
        ['Copies', letter.copies > 0 && `${count(letter.copies)} more of the same came`],
        ['Queue', data(letter.queue)],
        ['Trace id', make('span', {class: 'mono'}, letter.trace_id ?? UNKNOWN)],
        [
            'Replay of',
            letter.replay_of !== null &&
                make('a', {href: `#/dead/${letter.replay_of}`}, `letter ${letter.replay_of}`)
        ],
    ]);
}

/** @param {any} letter */
function fate(letter) {
    if (letter.state === 'dead')
        return make('p', {}, 'Nothing yet: it waits for somebody to replay or to discard it.');
    return factList([
        [letter.state === 'replayed' ? 'Replayed' : 'Discarded', time(letter.ended_at)],
        ['By', operator(letter.ended_by)],
        ['Because', letter.ended_reason !== null && data(letter.ended_reason)],
        [
            'As order', letter.replayed_as !== null &&
                            [orderLink(letter.replayed_as), ' (what was corrected is seen there)']
        ],
        [
            'Job',
            letter.job !== null && make('a', {href: `#/jobs/${letter.job}`}, `job ${letter.job}`)
        ],
    ]);
}

/** @param {string} written of unknown origin */
function data(written) {
    return make('bdi', {}, visible(written));
}

/* ---- its body ---- */

/** @param {any} letter */
function body(letter) {
    const length = `${size(letter.body_bytes)}`;
    if (letter.body_base64 !== undefined) {
        const bytes = firstBytes(letter.body_base64, BYTES_SHOWN);
        return [
            about(letter, `${length}, no text: shown as bytes`, bytes.length < letter.body_bytes,
                  `the first ${size(bytes.length)}`),
            box('Body', make('pre', {class: 'bytes'}, hexDump(bytes))),
        ];
    }
    const json = isJson(letter.body);
    const start =
        json ? pretty(letter.body, TEXT_SHOWN)
             : {text: letter.body.slice(0, TEXT_SHOWN), cut: letter.body.length > TEXT_SHOWN};
    return [
        about(letter, `${length}, ${json ? 'JSON' : 'shown as text'}`, start.cut || letter.body_cut,
              'the beginning'),
        shownText('Body', start),
    ];
}

/**
 * @param {any} letter
 * @param {string} what
 * @param {boolean} cut
 * @param {string} shown
 */
function about(letter, what, cut, shown) {
    const rest = letter.body_cut ? 'The archive has not all of it; what it has is written by'
                                 : 'All of it is written by';
    return make('p', {}, `${what}.`, cut && [
        ` Cut: this is ${shown}. ${rest} `,
        make('code', {}, `orderctl dead show ${letter.id} --body`), '.'
    ]);
}

/**
 * @param {string} label
 * @param {{text: string}} start
 */
function shownText(label, start) {
    return box(label, make('pre', {}, visible(start.text, {lines: true})));
}

/**
 * @param {string} label
 * @param {HTMLPreElement} pre
 */
function box(label, pre) {
    pre.tabIndex = 0;
    pre.setAttribute('role', 'region');
    pre.setAttribute('aria-label', label);
    pre.dir = 'ltr';
    return pre;
}

/* ---- what can be done ---- */

/**
 * @param {any} letter
 * @param {Actions} actions
 */
function buttons(letter, actions) {
    const path = `/api/admin/dead-letters/${letter.id}`;
    const replay = make('button', {
        type: 'button',
        on: {
            click: () => attempt(replay, actions,
                                 async () => {
                                     const answer =
                                         await post(`${path}/replay`, undefined, actions.signal);
                                     await replayed(answer, actions);
                                 })
        },
    },
                        'Replay as it is');
    const discard = make('button', {
        type: 'button',
        on: {
            click: () => attempt(discard, actions,
                                 async () => {
                                     const reason =
                                         await askWhy(`Discard letter ${letter.id}?`, []);
                                     if (reason === null)
                                         return;
                                     await post(`${path}/discard`, {reason}, actions.signal);
                                     await actions.settle(`Letter ${letter.id} is discarded.`);
                                 })
        },
    },
                         'Discard …');
    return make('p', {class: 'actions'}, replay, discard);
}

/**
 * @param {HTMLButtonElement} button
 * @param {Actions} actions
 * @param {() => Promise<void>} work
 */
function attempt(button, actions, work) {
    return whileDisabled(button, async () => {
        try {
            await work();
        } catch (error) {
            actions.refused(error);
        }
    });
}

/**
 * @param {any} answer
 * @param {Actions} actions
 */
function replayed(answer, actions) {
    return actions.settle(`Letter ${answer.id} is on its way again, as order`,
                          orderLink(answer.order_id));
}

/* ---- correct and replay ---- */

/**
 * The fields have what the body says, as far as it can be read.
 * @param {any} letter
 * @param {Actions} actions
 */
function correction(letter, actions) {
    const known = members((letter.body ?? '').slice(0, ORDER_READ));
    const conflict = letter.reason === 'id_conflict';
    /** @param {string} member */
    const valueOf = member => decoded(known.get(member) ?? '');
    /** @param {string} member */
    const wrong = member => whatWasWrong(letter, member, known.get(member));
    const name = field('Product name', valueOf('product_name'), wrong('product_name'), {size: 40});
    const amount =
        field('Amount', valueOf('amount'), wrong('amount'), {inputmode: 'decimal', size: 14});
    const id =
        field('Order id', letter.order_id ?? valueOf('id'), wrong('id'), {class: 'mono', size: 36});
    const created =
        field('Created at (RFC 3339)', valueOf('created_at'), wrong('created_at'), {size: 28});
    const newId = make('input', {type: 'checkbox', checked: conflict, on: {change: chooseId}});
    const hidden = make('p', {class: 'line faint'});
    const refusal = make('p', {class: 'line error', role: 'alert', id: 'refusal'});
    const button = make('button', {class: 'main'}, 'Correct and replay');
    /** @type {[string, HTMLInputElement][]} */
    const fields = [
        ['product_name', name.input], ['amount', amount.input], ['id', id.input],
        ['created_at', created.input]
    ];

    function chooseId() {
        id.input.disabled = newId.checked;
    }
    function showHidden() {
        const escaped = visible(name.input.value);
        text(hidden, escaped === name.input.value ? '' : `Not all of it is seen: ${escaped}`);
    }

    /** @param {Event} event */
    function submit(event) {
        event.preventDefault();
        text(refusal, '');
        for (const [, input] of fields)
            input.removeAttribute('aria-invalid');
        void attempt(button, {...actions, refused}, async () => {
            const {body} = await request('POST', `/api/admin/dead-letters/${letter.id}/replay`, {
                json: written(fields, newId.checked),
                signal: actions.signal,
            });
            await replayed(body, actions);
        });
    }

    /** @param {unknown} error */
    function refused(error) {
        if (!(error instanceof Problem) || ![400, 422].includes(error.status)) {
            actions.refused(error);
            return;
        }
        text(refusal, explain(error));
        const detail = String(error.body.detail ?? '');
        for (const [member, input] of fields) {
            if (detail.startsWith(`${member} `)) {
                input.setAttribute('aria-invalid', 'true');
                input.focus();
            }
        }
    }

    name.input.addEventListener('input', showHidden);
    showHidden();
    chooseId();
    return make('form', {class: 'fields correction', on: {submit}}, name.element, amount.element,
                id.element, created.element, hidden,
                make('label', {class: 'check'}, newId,
                     `Make it another order, with a new id${
                         conflict ? ' (another order has this one)' : ''}`),
                refusal, make('p', {class: 'line'}, button));
}

/**
 * Why a member of the body let it die; the field beside it may show it as it ought to be.
 * @param {any} letter
 * @param {string} member
 * @param {string|undefined} token
 */
function whatWasWrong(letter, member, token) {
    if (!letter.detail.startsWith(`${member} `))
        return '';
    const really = member === 'amount' && token !== undefined && isText(token)
                       ? `: it is the text ${token}; from here it is sent as a number`
                       : '';
    return `${letter.detail}${really}`;
}

/**
 * @param {string} label
 * @param {string} value
 * @param {string} wrong what was wrong with it, if anything
 * @param {Record<string, any>} attributes
 */
function field(label, value, wrong, attributes) {
    const hint = `wrong-${label.split(' ')[0].toLowerCase()}`;
    const input = make('input', {
        value,
        autocomplete: 'off',
        spellcheck: 'false',
        'aria-describedby': wrong ? `${hint} refusal` : 'refusal',
        ...attributes,
    });
    const told =
        wrong && make('p', {class: 'hint', id: hint}, 'Its ', make('bdi', {}, visible(wrong)), '.');
    return {input, element: make('div', {}, make('label', {}, label, input), told)};
}

/**
 * The correction as JSON, with the digits of the amount as they stand. What is empty is left out:
 * the gateway fills in the id and the time, or says what is missing.
 * @param {[string, HTMLInputElement][]} fields
 * @param {boolean} newId
 */
function written(fields, newId) {
    const given = fields.filter(([, input]) => input.value.trim() !== '' && !input.disabled);
    const order = given.map(([name, input]) => {
        const value = input.value;
        return `"${name}":${
            name === 'amount' ? numberOrText(value.trim()) : JSON.stringify(value)}`;
    });
    return `{"order":{${order.join(',')}},"new_id":${newId}}`;
}
