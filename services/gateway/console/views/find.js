/* Find: what is known of the order of an id, or the orders whose names have certain words. */
import {explain, Problem, request} from '../api.js';
import {factList, table} from '../blocks.js';
import {tellDelay, whyWaits} from '../delay.js';
import {make, show, text} from '../dom.js';
import {known} from '../poll.js';
import {amount, count, isOrderId, plural, share, time, visible} from '../words.js';

const PAGE = 20;
const REACH = 10000; // the search shows no more: from + size
const UNTOLD = 'cannot be told now';

/** @type {Record<string, [string, string]>} state → class of its badge, and symbol */
const STATES = {
    accepted: ['warn', '…'],
    stored: ['warn', '…'],
    searchable: ['well', '✓'],
    dead: ['wrong', '×'],
};

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} parameters `q`: an id or words; `from`: how many orders are left out
 * @returns {import('../main.js').View}
 */
export function openFind(place, parameters) {
    const field =
        make('input', {type: 'search', name: 'q', required: true, size: 40, spellcheck: 'false'});
    const form = make('form', {class: 'fields', role: 'search', on: {submit}},
                      make('label', {}, 'Id of an order, or words of a product name', field),
                      make('button', {class: 'main'}, 'Find'));
    const message = make('p', {role: 'status'});
    const found = make('div');
    /** @type {Follow} */
    let follow = () => {};
    show(place, make('h2', {}, 'Find'), form, message, found);

    let underWay = new AbortController();
    look(parameters);

    /** @param {Event} event */
    function submit(event) {
        event.preventDefault();
        const address = addressOf(field.value.trim());
        if (field.value.trim() === '') {
            tell('Type in the id of an order, or words of a product name.', []);
            field.focus();
            return;
        }
        if (location.hash === address)
            look(new URLSearchParams({q: field.value.trim()}));
        else
            location.hash = address;
    }

    /** @param {URLSearchParams} wanted */
    function look(wanted) {
        underWay.abort();
        underWay = new AbortController();
        const q = (wanted.get('q') ?? '').trim();
        field.value = q;
        if (q)
            void answer(q, wanted.get('from') ?? '0', underWay.signal);
        else
            tell('', []);
    }

    /**
     * @param {string} q
     * @param {string} from
     * @param {AbortSignal} signal
     */
    async function answer(q, from, signal) {
        text(message, 'Looking …');
        try {
            tell(...await (isOrderId(q) ? findOrder(q, signal) : findOrders(q, from, signal)));
        } catch (error) {
            if (!signal.aborted)
                tell(explain(error), []);
        }
    }

    /**
     * @param {string} words
     * @param {import('../dom.js').Child[]} content
     * @param {Follow} [onState]
     */
    function tell(words, content, onState = () => {}) {
        text(message, words);
        show(found, content);
        follow = onState;
        follow(known());
    }

    return {
        title: 'Find',
        onParameters: look,
        onState: state => follow(state),
        close: () => underWay.abort(),
    };
}

/**
 * @param {string} q
 * @param {number} [from]
 */
function addressOf(q, from = 0) {
    return `#/find?${new URLSearchParams(from ? {q, from: String(from)} : {q})}`;
}

/** @param {string} id */
function linkTo(id) {
    return make('a', {href: addressOf(id)}, make('code', {}, id));
}

/** @typedef {(state: import('../poll.js').State) => void} Follow changes what is shown */
/**
 * What is told of it, and shown.
 * @typedef {Promise<[string, import('../dom.js').Child[], Follow?]>} Found
 */

/* ---- by words ---- */

/**
 * @param {string} q
 * @param {string} from
 * @param {AbortSignal} signal
 * @returns {Found}
 */
async function findOrders(q, from, signal) {
    if (Number(from) + PAGE > REACH) {
        const words =
            `A search reaches its first ${count(REACH)} orders. Say more words of the name, ` +
            'or look for the id.';
        return [words, [make('p', {}, make('a', {href: addressOf(q)}, 'To the first orders'))]];
    }
    const query = new URLSearchParams({q, size: String(PAGE), from});
    const {headers, body} = await request('GET', `/api/search?${query}`, {signal});
    const lacking = headers.get('x-search-incomplete');
    const note =
        lacking === null
            ? ''
            : ` The index is being filled: it lacks ${share(Number(lacking))} of the orders.`;
    const total = body.hits.total.value;
    const hits = body.hits.hits;
    if (hits.length === 0) {
        const words =
            total === 0 ? 'No order is found.' : `Here is none of ${plural(total, 'order')}.`;
        const hint = make('p', {class: 'faint'});
        return [words + note, [hint], state => text(hint, advise(q, state))];
    }
    const first = Number(from), last = first + hits.length;
    const range = `Orders ${count(first + 1)} to ${count(last)}`;
    return [
        `${plural(total, 'order')} found.${note}`,
        [orderTable(range, hits), pages(q, first, last, total)]
    ];
}

/**
 * What to know when nothing is found.
 * @param {string} q
 * @param {import('../poll.js').State} state
 */
function advise(q, state) {
    const why = whyWaits(state, 'searchable');
    return [
        /^[\da-f-]{6,}$/i.test(q) ? 'An id is looked for as a whole: all of its 36 characters.'
                                  : '',
        'A search looks for whole words of the product name.',
        why ? `New orders are not found now: ${why}.`
            : 'An order is found about a second after it was sent.',
        'One that is not found can be looked for by its whole id.',
    ].filter(Boolean)
        .join(' ');
}

/**
 * @param {string} range
 * @param {any[]} hits
 */
function orderTable(range, hits) {
    const rows = hits.map(hit => {
        const order = hit._source;
        return make('tr', {}, make('td', {}, linkTo(order.id)),
                    make('td', {class: 'name'}, make('bdi', {}, visible(order.product_name))),
                    make('td', {class: 'number'}, amount(order.amount)),
                    make('td', {}, time(order.created_at)));
    });
    const heads =
        ['Order', 'Product name', make('th', {scope: 'col', class: 'number'}, 'Amount'), 'Created'];
    return table('Orders found', range, heads, make('tbody', {}, rows));
}

/**
 * @param {string} q
 * @param {number} first
 * @param {number} last
 * @param {number} total
 */
function pages(q, first, last, total) {
    const before =
        first > 0 &&
        make('a', {href: addressOf(q, Math.max(0, first - PAGE)), rel: 'prev'}, '← Previous page');
    const after = last < total &&
                  (last + PAGE > REACH
                       ? make('span', {}, `A search reaches its first ${count(REACH)} orders.`)
                       : make('a', {href: addressOf(q, last), rel: 'next'}, 'Next page →'));
    return (before || after) && make('nav', {'aria-label': 'Pages', class: 'pages'}, before, after);
}

/* ---- by id ---- */

/** What that means is more than the words of the problem say. */
const UNHEARD_OF =
    'It was never accepted here, or it died and its dead letter is gone: letters that were replayed ' +
    'or discarded are forgotten after a while, and a pipeline may be set to keep none. ' +
    'One wrong digit is enough: an order can be looked for by its name, too.';

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Found}
 */
async function findOrder(id, signal) {
    const [fate, order] = await Promise.all(
        [ask(`/api/orders/${id}/status`, signal), ask(`/api/orders/${id}`, signal)]);
    if (isAbsent(fate) && isAbsent(order))
        return ['No order has this id.', [make('p', {}, UNHEARD_OF)]];
    const delay = make('p');
    return [
        '',
        [
            make('h3', {}, 'Order ', make('code', {}, id)),
            fate instanceof Problem ? make('p', {class: 'error'}, explain(fate))
                                    : describeFate(fate.body, order instanceof Problem),
            delay,
            make('h3', {}, 'The order itself'),
            order instanceof Problem ? describeLack(order) : describeOrder(order),
            make('h3', {}, 'Its dead letters'),
            describeLetters(fate instanceof Problem ? null : fate.body.dead_letters),
        ],
        state => text(delay, !(fate instanceof Problem) && isOnItsWay(fate.body)
                                 ? tellDelay(state, fate.body)
                                 : ''),
    ];
}

/**
 * @param {string} path
 * @param {AbortSignal} signal
 */
async function ask(path, signal) {
    try {
        return await request('GET', path, {signal});
    } catch (error) {
        if (error instanceof Problem)
            return error;
        throw error;
    }
}

/** @param {unknown} answer */
function isAbsent(answer) {
    return answer instanceof Problem && answer.status === 404;
}

/** @param {any} fate */
function isOnItsWay({state}) {
    return state === 'accepted' || state === 'stored';
}

/**
 * @param {any} fate
 * @param {boolean} alone the order itself does not say when it was created
 */
function describeFate(fate, alone) {
    const [badge, symbol] = STATES[fate.state];
    const moves = isOnItsWay(fate);
    return factList([
        [
            'State',
            [
                make('span', {class: `badge ${badge}`}, `${symbol} ${fate.state}`), ' ',
                moves && make('a', {href: `#/try?id=${fate.order_id}`}, 'Follow it')
            ]
        ],
        ['Created', alone && (fate.accepted_at ? time(fate.accepted_at) : 'not known')],
        ['Stored', tellFact(fate.stored, moves)],
        ['Searchable', tellFact(fate.searchable, moves)],
    ]);
}

/**
 * @param {boolean|null} fact
 * @param {boolean} moves it may still come
 */
function tellFact(fact, moves) {
    if (fact === null)
        return UNTOLD;
    return fact ? 'yes' : moves ? 'not yet' : 'no';
}

/** @param {{headers: Headers, body: any}} answer */
function describeOrder({headers, body}) {
    return factList([
        ['Product name', make('bdi', {class: 'name'}, visible(body.product_name))],
        ['Amount', amount(body.amount)],
        ['Created', time(body.created_at)],
        ['Read', headers.get('x-cache') === 'HIT' ? 'from Redis' : 'from PostgreSQL'],
    ]);
}

/** @param {Problem} problem */
function describeLack(problem) {
    if (problem.code === 'order_dead')
        return make('p', {}, 'It died: its dead letter is all that is left of it.');
    return make('p', {}, isAbsent(problem) ? 'It is not there.' : explain(problem));
}

/** @param {any[]|null} letters */
function describeLetters(letters) {
    if (letters === null)
        return make('p', {}, `They ${UNTOLD}, or are not archived here.`);
    if (letters.length === 0)
        return make('p', {}, 'None.');
    const rows = letters.map(
        letter => make('tr', {},
                       make('th', {scope: 'row'},
                            make('a', {href: `#/dead/${letter.id}`}, `Letter ${letter.id}`)),
                       make('td', {}, time(letter.died_at)),
                       make('td', {}, make('bdi', {}, visible(letter.reason))),
                       make('td', {}, make('bdi', {}, visible(letter.stage))),
                       make('td', {}, ending(letter))));
    return table('Dead letters', 'Newest first', ['Letter', 'Died', 'Reason', 'Stage', 'State'],
                 make('tbody', {}, rows));
}

/** @param {any} letter */
function ending(letter) {
    return letter.replayed_as ? [`${letter.state} as `, linkTo(letter.replayed_as)] : letter.state;
}
