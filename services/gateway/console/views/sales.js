/* Sales. */
import {make, show} from '../dom.js';

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} _parameters
 * @param {string} _id
 * @returns {import('../main.js').View}
 */
export function openSales(place, _parameters, _id) {
    show(place, make('h2', {}, 'Sales'));
    return {title: 'Sales'};
}
