/* Blocks that several views are made of. */
import {make} from './dom.js';

/** @typedef {import('./dom.js').Child} Child */

/**
 * Labels, and what is told under each; without anything to tell, a label is left out.
 * @param {[string, Child|Child[]][]} facts
 */
export function factList(facts) {
    return make('dl', {class: 'facts'},
                facts.filter(([, told]) => Array.isArray(told) ? told.length > 0 : told)
                    .flatMap(([label, told]) => [make('dt', {}, label), make('dd', {}, told)]));
}

/**
 * A table in a frame of its own, in which it is scrolled where it is wider than the page.
 * @param {string} name of the frame, for a screen reader
 * @param {string} caption
 * @param {(string|HTMLTableCellElement)[]} heads of the columns
 * @param {HTMLTableSectionElement} body
 */
export function table(name, caption, heads, body) {
    return make(
        'div', {class: 'wide', tabindex: 0, role: 'region', 'aria-label': name},
        make('table', {}, make('caption', {}, caption),
             make('thead', {},
                  make('tr', {},
                       heads.map(head => typeof head === 'string' ? make('th', {scope: 'col'}, head)
                                                                  : head))),
             body));
}
