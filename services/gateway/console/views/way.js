/* Way of an order. */
import {make, show} from '../dom.js';

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} _parameters
 * @param {string} _id
 * @returns {import('../main.js').View}
 */
export function openWay(place, _parameters, _id) {
    show(place, make('h2', {}, 'Way of an order'));
    return {title: 'Way of an order'};
}
