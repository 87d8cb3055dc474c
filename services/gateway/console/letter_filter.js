/* The filter of dead letters: as a form, which is the address of the list, and as a request takes
 * it. */
import {make} from './dom.js';
import {REASON_CODES} from './reasons.js';
import {visible} from './words.js';

/** @type {Record<string, string>} */
const WORDS = {
    reason: 'the reason',
    stage: 'the stage',
    order_id: 'the order',
    since: 'a death since',
    until: 'a death before',
    detail: 'in the detail:'
};
export const FILTERS = Object.keys(WORDS);
const STATES = {
    dead: 'dead',
    replayed: 'replayed',
    discarded: 'discarded',
    all: 'all'
};

/** The form; its answer is a change of the address. */
export function openFilters() {
    const state = choice(STATES);
    const reason = make('input', {list: 'reason-codes', maxlength: 250, spellcheck: 'false'});
    const stage = choice({'': 'any', intake: 'intake', persist: 'persist', index: 'index'});
    const order = make('input', {maxlength: 40, spellcheck: 'false', class: 'mono', size: 36});
    const since = make('input', {type: 'datetime-local', step: 1});
    const until = make('input', {type: 'datetime-local', step: 1});
    const detail = make('input', {maxlength: 250, spellcheck: 'false'});
    let current = new URLSearchParams();

    const submit = (/** @type {Event} */ event) => {
        event.preventDefault();
        const next = address({
            state: state.value === 'dead' ? '' : state.value,
            reason: reason.value.trim(),
            stage: stage.value,
            order_id: order.value.trim(),
            since: instant(since, current.get('since')),
            until: instant(until, current.get('until')),
            detail: detail.value,
        });
        if (next === location.hash)
            dispatchEvent(new HashChangeEvent('hashchange')); // asked again
        else
            location.hash = next;
    };
    const element =
        make('form', {class: 'fields', on: {submit}, 'aria-label': 'Filter'},
             make('label', {}, 'State', state), make('label', {}, 'Reason', reason),
             make('datalist', {id: 'reason-codes'},
                  REASON_CODES.map(code => make('option', {value: code}))),
             make('label', {}, 'Stage', stage), make('label', {}, 'Order id', order),
             make('label', {}, 'Died since', since), make('label', {}, 'Died before', until),
             make('label', {}, 'Text in the detail', detail),
             make('div', {class: 'actions'}, make('button', {}, 'Filter'),
                  make('a', {href: '#/dead'}, 'No filter')));
    return {
        element,
        /** @param {URLSearchParams} parameters */
        fill(parameters) {
            current = parameters;
            choose(state, parameters.get('state') ?? 'dead');
            reason.value = parameters.get('reason') ?? '';
            choose(stage, parameters.get('stage') ?? '');
            order.value = parameters.get('order_id') ?? '';
            since.value = localTime(parameters.get('since'));
            until.value = localTime(parameters.get('until'));
            detail.value = parameters.get('detail') ?? '';
        },
    };
}

/** @param {Record<string, string>} options the words of each value */
function choice(options) {
    return make('select', {},
                Object.entries(options).map(([value, words]) => make('option', {value}, words)));
}

/**
 * Also a value that only the address has.
 * @param {HTMLSelectElement} select
 * @param {string} value
 */
function choose(select, value) {
    select.value = value;
    if (select.value !== value) {
        select.append(make('option', {value}, visible(value)));
        select.value = value;
    }
}

/**
 * As a field of the viewer's zone takes it; to the second.
 * @param {string|null} written RFC 3339
 */
function localTime(written) {
    const date = new Date(written ?? '');
    if (Number.isNaN(date.getTime()))
        return '';
    return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

/**
 * What a field of a time says, in RFC 3339 and UTC. What was not changed stays as the address has
 * it, which may be more exact.
 * @param {HTMLInputElement} field
 * @param {string|null} before
 */
function instant(field, before) {
    if (field.value === '')
        return '';
    const shown = localTime(before);
    const same = new Date(field.value).getTime() === new Date(shown).getTime();
    return same ? before ?? '' : new Date(field.value).toISOString().replace('.000Z', 'Z');
}

/**
 * The address of the list with these parameters.
 * @param {Record<string, string>} values those that are empty are left out
 */
export function address(values) {
    const set = Object.entries(values).filter(([, value]) => value !== '');
    const query = new URLSearchParams(set).toString();
    return query === '' ? '#/dead' : `#/dead?${query}`;
}

/**
 * The filter as a request takes it, which is always of letters that are dead.
 * @param {URLSearchParams} parameters
 */
export function filterOf(parameters) {
    const set = FILTERS.filter(name => parameters.get(name));
    return Object.fromEntries(set.map(name => [name, parameters.get(name)]));
}

/**
 * A filter as a person reads it.
 * @param {Record<string, string>} filter
 */
export function filterWords(filter) {
    return Object.entries(filter).map(([name, value]) => `${WORDS[name]} ${visible(value)}`);
}
