/* The dialog that asks once more before something is done. */
import {make} from './dom.js';

/**
 * @typedef {object} Question
 * @property {string} title the question
 * @property {import('./dom.js').Child[]} content what will be done, and fields to fill in
 * @property {string} action the button that does it
 * @property {string} [refusal] the button that does not, "Cancel" if it is not given
 * @property {boolean} [dangerous] it can't be undone
 */

/**
 * Asks, and waits for the answer, which is no when the page's address changes meanwhile. The fields
 * of `content` must be valid before the answer is yes; the caller reads them then.
 * @param {Question} question
 * @returns {Promise<boolean>}
 */
export function ask(question) {
    const title = make('h2', {id: 'question'}, question.title);
    const cancel = make('button', {type: 'button', on: {click: () => dialog.close()}},
                        question.refusal ?? 'Cancel');
    const action =
        make('button', {class: question.dangerous ? 'dangerous' : 'main'}, question.action);
    const form =
        make('form', {}, title, question.content, make('p', {class: 'buttons'}, cancel, action));
    const dialog = make('dialog', {'aria-labelledby': 'question'}, form);
    form.addEventListener('submit', event => {
        event.preventDefault();
        dialog.close('yes');
    });
    const leave = () => dialog.close();
    addEventListener('hashchange', leave);
    document.body.append(dialog);
    dialog.showModal();
    return new Promise(resolve => dialog.addEventListener('close', () => {
        dialog.remove();
        removeEventListener('hashchange', leave);
        resolve(dialog.returnValue === 'yes');
    }));
}
