/* JSON as it is written: numbers keep each of their digits, which a double would not. */

const TOKEN = /\s*("[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]|[^\s"{}[\]:,]+)/suy;
const OPENED_MAX = 50000;
const INDENT = '  ', INDENTS_MAX = 40; // deeper ones stand below each other: lines stay short

/**
 * The tokens, up to where the text is no JSON.
 * @param {string} written
 * @returns {Generator<string>}
 */
function* tokens(written) {
    const pattern = new RegExp(TOKEN);
    for (let match = pattern.exec(written); match; match = pattern.exec(written))
        yield match[1];
}

/**
 * Also no, unread, to what has so many objects and arrays that the page would stand still.
 * @param {string} written
 */
export function isJson(written) {
    let opened = 0;
    for (let at = 0; at < written.length && opened <= OPENED_MAX; at++)
        if (written[at] === '[' || written[at] === '{')
            opened++;
    if (opened > OPENED_MAX)
        return false;
    try {
        JSON.parse(written);
        return true;
    } catch {
        return false;
    }
}

/**
 * With each member on a line.
 * @param {string} written is JSON
 * @param {number} most characters, about
 * @returns {{text: string, cut: boolean}} cut: there is more
 */
export function pretty(written, most) {
    let out = '', depth = 0, before = '';
    const newLine = () => `\n${INDENT.repeat(Math.min(depth, INDENTS_MAX))}`;
    for (const token of tokens(written)) {
        if (out.length > most)
            return {text: out.slice(0, most), cut: true};
        const closes = token === '}' || token === ']';
        const empty = closes && (before === '{' || before === '[');
        if (closes)
            depth--;
        if (before === ':')
            out += ' ';
        else if (before === ',' || (closes && !empty) ||
                 ((before === '{' || before === '[') && !empty))
            out += newLine();
        out += token;
        if (token === '{' || token === '[')
            depth++;
        before = token;
    }
    return {text: out.slice(0, most), cut: out.length > most};
}

/**
 * The members of an object as they are written, as far as the text can be read.
 * @param {string} written need not be JSON
 * @returns {Map<string, string>} see decoded()
 */
export function members(written) {
    /** @type {Map<string, string>} */
    const found = new Map();
    let depth = 0, name = '', before = '';
    for (const token of tokens(written)) {
        if (depth === 1 && token === ':')
            name = decoded(before);
        else if (depth === 1 && before === ':' && !'{['.includes(token))
            found.set(name, token);
        if ('{['.includes(token))
            depth++;
        else if ('}]'.includes(token))
            depth--;
        before = token;
    }
    return found;
}

/** @param {string} token a text without its quotes and escapes; anything else as it is written */
export function decoded(token) {
    return isText(token) ? JSON.parse(token) : token;
}

/** @param {string} token */
export function isText(token) {
    return token.startsWith('"') && isJson(token);
}

/**
 * A number as JSON, with its digits; what is none as a text, so that the gateway can say so.
 * @param {string} digits
 */
export function numberOrText(digits) {
    return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(digits) ? digits : JSON.stringify(digits);
}
