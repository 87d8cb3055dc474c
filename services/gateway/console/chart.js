/* Small charts, drawn as SVG. */
import {draw, make, reconcile, show} from './dom.js';
import {EACH_MS, HISTORY_MS} from './poll.js';

const WIDTH = 120, HEIGHT = 28, LINE = 1.5;

/** @typedef {{at: number, value: number|null}} Point */

/**
 * A line of two minutes; its top is the highest value, and 1 at least. What it shows stands beside
 * it as a number, so a screen reader skips it.
 * @returns {{element: SVGSVGElement, update: (points: Point[]) => void}}
 */
export function sparkline() {
    const area = draw('path', {class: 'area'});
    const line = draw('path', {class: 'line'});
    const element = draw('svg', {
        class: 'sparkline',
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        'aria-hidden': 'true',
    },
                         area, line);
    return {
        element,
        update(points) {
            const pieces = split(points), now = points.at(-1)?.at ?? 0;
            const highest = Math.max(1, ...pieces.flat().map(point => point.value));
            let lines = '', areas = '';
            for (const piece of pieces) {
                const steps = piece.map(({at, value}) => {
                    const across = WIDTH - (now - at) / HISTORY_MS * WIDTH;
                    const down = HEIGHT - LINE - value / highest * (HEIGHT - 2 * LINE);
                    return `${across.toFixed(1)} ${down.toFixed(1)}`;
                });
                const [from, to] =
                    [steps[0], steps[steps.length - 1]].map(step => step.split(' ')[0]);
                lines += `M${steps.join('L')}`;
                areas += `M${from} ${HEIGHT}L${steps.join('L')}L${to} ${HEIGHT}Z`;
            }
            line.setAttribute('d', lines);
            area.setAttribute('d', areas);
        },
    };
}

/**
 * The pieces of a line that has a gap where a value is missing, or nothing was asked.
 * @param {Point[]} points
 */
function split(points) {
    /** @type {{at: number, value: number}[][]} */
    const pieces = [];
    let last = -Infinity;
    for (const {at, value} of points) {
        if (value === null)
            continue;
        if (at - last > 3 * EACH_MS)
            pieces.push([]);
        pieces[pieces.length - 1].push({at, value});
        last = at;
    }
    return pieces;
}

const SLOT = 10, GAP = 2, TALL = 100;
const DATES_MAX = 7; // as many as fit on a narrow screen

/**
 * @typedef {object} Bar
 * @property {string} key each another one
 * @property {string} label what it is, and how much
 * @property {string} short what it is, in few letters
 * @property {number} value
 */

/**
 * Bars side by side. To a screen reader they are a list of which one is chosen: one stop of the
 * tabulator, and then the arrow keys, Home and End.
 * @param {string} label
 * @param {(bar: Bar) => void} onChosen the one under the pointer, or that has the focus
 * @returns {{element: SVGSVGElement, below: HTMLElement, update: (list: Bar[]) => void}} `below`
 *     stands under the bars: a mark of the one that is chosen, and what some of them are
 */
export function bars(label, onChosen) {
    /** @type {Bar[]} */
    let shown = [];
    let chosen = '';
    const element = draw('svg', {
        class: 'bars',
        preserveAspectRatio: 'none',
        role: 'listbox',
        'aria-label': label,
        'aria-orientation': 'horizontal',
        on: {
            keydown: (/** @type {KeyboardEvent} */ event) => {
                const at = shown.findIndex(bar => bar.key === chosen);
                const to = target(event, at, shown.length - 1);
                if (to === null)
                    return;
                event.preventDefault();
                /** @type {SVGElement} */ (element.children[to]).focus();
            },
        },
    });

    const below = make('p', {class: 'below', 'aria-hidden': 'true'}); // each bar says it

    /** @param {string} key */
    function choose(key) {
        chosen = key;
        for (const [index, bar] of shown.entries()) {
            const slot = element.children[index];
            slot.setAttribute('tabindex', bar.key === key ? '0' : '-1');
            slot.setAttribute('aria-selected', String(bar.key === key));
            below.children[index].className = bar.key === key ? 'chosen' : '';
            if (bar.key === key)
                onChosen(bar);
        }
    }

    return {
        element,
        below,
        update(list) {
            const step = Math.ceil(list.length / DATES_MAX);
            shown = list;
            show(below,
                 list.map((bar, index) => make(
                              'span', {}, (list.length - 1 - index) % step === 0 && bar.short)));
            const highest = Math.max(...list.map(bar => bar.value), 0);
            element.setAttribute('viewBox', `0 0 ${list.length * SLOT} ${TALL}`);
            reconcile(element,
                      list.map(({key, label, value}, index) =>
                                   ({key, label, index, share: highest > 0 ? value / highest : 0})),
                      bar => bar.key, bar => buildBar(() => choose(bar.key)));
            choose(list.some(bar => bar.key === chosen) ? chosen : list.at(-1)?.key ?? '');
        },
    };
}

/**
 * Where a key leads to.
 * @param {KeyboardEvent} event
 * @param {number} at
 * @param {number} last
 */
function target(event, at, last) {
    if (event.altKey || event.ctrlKey || event.metaKey)
        return null;
    switch (event.key) {
    case 'ArrowLeft':
        return Math.max(0, at - 1);
    case 'ArrowRight':
        return Math.min(last, at + 1);
    case 'Home':
        return 0;
    case 'End':
        return last;
    default:
        return null;
    }
}

/**
 * @param {() => void} onChosen
 * @returns {import('./dom.js').Row<{label: string, index: number, share: number}>}
 */
function buildBar(onChosen) {
    const slot = draw('rect', {class: 'slot', y: 0, width: SLOT, height: TALL});
    const bar = draw('rect', {class: 'bar', width: SLOT - GAP});
    const element =
        draw('g', {role: 'option', on: {focus: onChosen, pointerenter: onChosen}}, slot, bar);
    return {
        element,
        update({label, index, share}) {
            const height = Math.max(0, share) * TALL;
            element.setAttribute('aria-label', label);
            slot.setAttribute('x', String(index * SLOT));
            bar.setAttribute('x', String(index * SLOT + GAP / 2));
            bar.setAttribute('y', String(TALL - height));
            bar.setAttribute('height', String(height));
        },
    };
}
