/* Numbers, times and texts as a person reads them. */
import {make, show} from './dom.js';

export const UNKNOWN = '–';

const counts = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const amounts = new Intl.NumberFormat('en', {minimumFractionDigits: 2, maximumFractionDigits: 2});
const estimates = new Intl.NumberFormat('en', {maximumSignificantDigits: 2});
const shares = new Intl.NumberFormat('en', {style: 'percent', maximumFractionDigits: 1});

/** @param {number|null|undefined} value */
export function count(value) {
    return value === null || value === undefined ? UNKNOWN : counts.format(value);
}

/** @param {number} estimate of which no more digits are true */
export function roughly(estimate) {
    return estimates.format(estimate);
}

/** @param {number|null|undefined} perSecond */
export function rate(perSecond) {
    if (perSecond === null || perSecond === undefined)
        return UNKNOWN;
    const rounded = perSecond < 10 ? Math.round(perSecond * 10) / 10 : Math.round(perSecond);
    return `${rounded.toLocaleString('en')}/s`;
}

/** @param {number} value money */
export function amount(value) {
    return amounts.format(value);
}

/** @param {number} value 0 to 1 */
export function share(value) {
    return shares.format(value);
}

/**
 * "1 order", "2 orders".
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export function plural(value, one, many = `${one}s`) {
    return `${count(value)} ${value === 1 ? one : many}`;
}

/** @param {number} bytes */
export function size(bytes) {
    if (bytes < 1000)
        return plural(bytes, 'byte');
    return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/**
 * "31 ms", "1.1 s", "2 min 3 s", "4 h 5 min", "3 days 2 h".
 * @param {number} seconds
 */
export function duration(seconds) {
    if (seconds < 0.9995)
        return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 9.95)
        return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60)
        return `${whole} s`;
    if (whole < 3600)
        return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    if (whole < 86400)
        return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
    return `${plural(Math.floor(whole / 86400), 'day')} ${Math.floor(whole % 86400 / 3600)} h`;
}

/** @param {number} number of two digits at least */
function two(number) {
    return String(number).padStart(2, '0');
}

/**
 * The time of day in the viewer's zone.
 * @param {Date} date
 */
export function clock(date) {
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/**
 * An instant in the viewer's zone, with the day if it is another one; UTC on hover.
 * @param {string|null|undefined} instant RFC 3339
 * @returns {HTMLElement}
 */
export function time(instant) {
    if (!instant)
        return make('span', {}, UNKNOWN);
    const date = new Date(instant);
    const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    const today = date.toDateString() === new Date().toDateString();
    return make('time', {datetime: instant, title: `${instant.slice(0, 19).replace('T', ' ')} UTC`},
                today ? clock(date) : `${day} ${clock(date)}`);
}

/**
 * Who did something, as far as it is known.
 * @param {string|null|undefined} name what a request said of itself (X-Operator)
 */
export function operator(name) {
    const who =
        name === 'console' ? 'somebody with the console' : name ?? 'somebody without a name';
    return make('bdi', {}, visible(who));
}

/** @param {string} written */
export function isOrderId(written) {
    return /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(written);
}

/** @type {WeakMap<Element, string>} */
const said = new WeakMap();

/**
 * Changes what an element says if it differs. RFC 3339 instants in it are shown as `time` does.
 * @param {Element} element
 * @param {string} sentence
 */
export function say(element, sentence) {
    if (said.get(element) === sentence)
        return;
    said.set(element, sentence);
    const pieces = sentence.split(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/);
    show(element, pieces.map((piece, i) => i % 2 === 0 ? piece : time(piece)));
}

/** @param {string} sentence */
export function capital(sentence) {
    return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

const UNSAID =
    /HTTP status 0: |Failed to connect to \S+ port \d+ after \d+ ms: |Could(n't| not) connect to server: /g;

/**
 * A reason ("postgres: no connection"), or a sentence with one, as a person says it: with names in
 * place of codes, and without what libcurl says of each failed connection.
 * @param {string} message
 */
export function plain(message) {
    const named = visible(message).replace(/(?<=^|: )[a-z_]+(?=: )/, nameOf);
    return capital(named.replace(UNSAID, ''));
}

/** @type {Record<string, string>} */
const NAMES = {
    accepting_orders: 'taking orders',
    rabbitmq: 'RabbitMQ',
    postgres: 'PostgreSQL',
    redis: 'Redis',
    elasticsearch: 'Elasticsearch',
    search_index: 'search index',
    dead_letter_queue: 'queue of dead letters',
    dead_letter_archive: 'archive of dead letters',
};

/**
 * What a person calls that on which a service depends.
 * @param {string} dependency
 */
export function nameOf(dependency) {
    return Object.hasOwn(NAMES, dependency) ? NAMES[dependency] : dependency.replaceAll('_', ' ');
}

/**
 * A text of unknown origin with what would not be seen, or would turn the text around, as escapes:
 * controls, bidirectional controls, zero-width characters. Line ends stay with `lines`.
 * @param {string} written
 * @param {{lines?: boolean}} [options]
 */
export function visible(written, options = {}) {
    return written.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, character => {
        if (options.lines && (character === '\n' || character === '\t'))
            return character;
        const code = /** @type {number} */ (character.codePointAt(0)).toString(16);
        return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\u{${code}}`;
    });
}
