/* Makes and changes elements. Data becomes text or an attribute, and never markup. */

/** @typedef {Node|string|number|null|undefined|false} Child */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {Element} element
 * @param {Record<string, any>} attributes `on` is an object of listeners; true is an attribute
 *     without a value; false, null and undefined leave the attribute out
 * @param {(Child|Child[])[]} children
 */
function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
        if (name === 'on') {
            for (const [event, listener] of Object.entries(value))
                element.addEventListener(event, listener);
        } else if (value !== false && value !== null && value !== undefined) {
            element.setAttribute(name, value === true ? '' : String(value));
        }
    }
    element.append(...nodes(children));
}

/** @param {(Child|Child[])[]} children */
function nodes(children) {
    return children.flat().flatMap(child => child === null || child === undefined || child === false
                                                ? []
                                                : [child instanceof Node ? child : String(child)]);
}

/**
 * An element of HTML.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child|Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    fill(element, attributes, children);
    return element;
}

/**
 * An element of SVG.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child|Child[])} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function draw(tag, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, tag);
    fill(element, attributes, children);
    return element;
}

/**
 * Puts these children in place of those that are there.
 * @param {Element} place
 * @param {...(Child|Child[])} children
 */
export function show(place, ...children) {
    place.replaceChildren(...nodes(children));
}

/**
 * Changes the text of a node if it differs, so that a selection in it and a screen reader are left
 * alone.
 * @param {Node} node
 * @param {string|number} words
 */
export function text(node, words) {
    if (node.textContent !== String(words))
        node.textContent = String(words);
}

/**
 * Scrolls as far as it takes to see an element.
 * @param {Element} element
 */
export function reveal(element) {
    element.scrollIntoView({block: 'nearest'});
}

/**
 * @template Item
 * @typedef {object} Row
 * @property {Element} element
 * @property {(item: Item) => void} update
 */

/** @type {WeakMap<Element, Map<string, Row<any>>>} */
const rowsOf = new WeakMap();

/**
 * Makes the children of `place` those of a list. A row that stays is updated, so it keeps focus and
 * selection. Every child of `place` must come from here.
 * @template Item
 * @param {Element} place
 * @param {Item[]} items
 * @param {(item: Item) => string|number} keyOf of the list's items, each another one
 * @param {(item: Item) => Row<Item>} build the row is updated once after it
 */
export function reconcile(place, items, keyOf, build) {
    const before = rowsOf.get(place) ?? new Map();
    /** @type {Map<string, Row<Item>>} */
    const after = new Map();
    for (const item of items) {
        const key = String(keyOf(item));
        const row = before.get(key) ?? build(item);
        row.update(item);
        after.set(key, row);
    }
    for (const [key, row] of before)
        if (!after.has(key))
            row.element.remove();
    let next = place.firstElementChild;
    for (const row of after.values()) {
        if (row.element === next)
            next = next.nextElementSibling;
        else
            place.insertBefore(row.element, next);
    }
    rowsOf.set(place, after);
}
