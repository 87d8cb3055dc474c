/* Small charts, drawn as SVG. */
import {draw} from './dom.js';
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
