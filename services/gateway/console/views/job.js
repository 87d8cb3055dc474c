/* Job. */
import {make, show} from '../dom.js';

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} _parameters
 * @param {string} _id
 * @returns {import('../main.js').View}
 */
export function openJob(place, _parameters, _id) {
    show(place, make('h2', {}, 'Job'));
    return {title: 'Job'};
}
