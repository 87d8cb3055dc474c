/* Small charts, drawn as SVG. */
import {draw} from './dom.js';
import {HISTORY_MS} from './poll.js';

const WIDTH = 120, HEIGHT = 28, LINE = 1.5;

/**
 * A line of two minutes. What it shows stands beside it as a number, so a screen reader skips it.
 * @returns {{element: SVGSVGElement, update: (points: {at: number, value: number|null}[]) => void}}
 */
export function sparkline() {
    const line = draw('path', {class: 'line'});
    const element = draw('svg', {
        class: 'sparkline',
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        'aria-hidden': 'true',
    },
                         line);
    return {element, update: points => line.setAttribute('d', path(points))};
}

/** @param {{at: number, value: number|null}[]} points a missing value is a gap */
function path(points) {
    const highest = Math.max(1, ...points.map(point => point.value ?? 0));
    const now = points.at(-1)?.at ?? 0;
    let steps = '', pen = 'M';
    for (const {at, value} of points) {
        if (value === null) {
            pen = 'M';
            continue;
        }
        const across = WIDTH - (now - at) / HISTORY_MS * WIDTH;
        const down = HEIGHT - LINE - value / highest * (HEIGHT - 2 * LINE);
        steps += `${pen}${across.toFixed(1)} ${down.toFixed(1)}`;
        pen = 'L';
    }
    return steps;
}
