/* Try it. */
import {make, show} from '../dom.js';

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} _parameters
 * @param {string} _id
 * @returns {import('../main.js').View}
 */
export function openTry(place, _parameters, _id) {
    show(place, make('h2', {}, 'Try it'));
    return {title: 'Try it'};
}
