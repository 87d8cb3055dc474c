/* Bytes as a person reads them: where they are, what they are, and what they are as ASCII. */

const IN_A_LINE = 16;

/**
 * The first bytes of what is in base64.
 * @param {string} base64
 * @param {number} most
 * @returns {Uint8Array}
 */
export function firstBytes(base64, most) {
    const binary = atob(base64.slice(0, Math.ceil(most / 3) * 4));
    return Uint8Array.from(binary.slice(0, most), character => character.charCodeAt(0));
}

/**
 * "00000000  7b 22 …  |{"…|", sixteen in a line.
 * @param {Uint8Array} bytes
 */
export function hexDump(bytes) {
    const lines = [];
    for (let at = 0; at < bytes.length; at += IN_A_LINE) {
        const line = [...bytes.subarray(at, at + IN_A_LINE)];
        const codes = line.map(byte => byte.toString(16).padStart(2, '0')).join(' ');
        const ascii =
            line.map(byte => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.');
        lines.push(`${at.toString(16).padStart(8, '0')}  ${codes.padEnd(IN_A_LINE * 3 - 1)}  |${
            ascii.join('')}|`);
    }
    return lines.join('\n');
}
