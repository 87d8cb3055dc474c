/* Jobs. */
import {make, show} from '../dom.js';

/**
 * @param {HTMLElement} place
 * @param {URLSearchParams} _parameters
 * @param {string} _id
 * @returns {import('../main.js').View}
 */
export function openJobs(place, _parameters, _id) {
    show(place, make('h2', {}, 'Jobs'));
    return {title: 'Jobs'};
}
