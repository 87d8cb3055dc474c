/* What the codes of dead letters say, and what one does about it. Bridge and workers give most of
 * them; the last are RabbitMQ's, of messages that it moved by itself. */

const CORRECT = 'Correct and replay it, or discard it.';

/** @type {[RegExp, string, string][]} code, what it means, what to do */
const REASONS = [
    [
        /^malformed$/,
        'The body is not the JSON of an order: broken, or a member is missing or of a wrong type.',
        CORRECT
    ],
    [
        /^unacceptable$/,
        'The body is an order with a value out of bounds, such as its name or amount.', CORRECT
    ],
    [/^too_large$/, 'The body is over 64 KiB; no order needs that many.', CORRECT],
    [
        /^message_id_mismatch$/, 'The message_id is not the id of the order in the body.',
        'Replay it as it is if the id in the body is right; else discard it.'
    ],
    [
        /^retries_exhausted$/, 'It failed 20 times while other orders passed.',
        'The detail is its last failure: put that right, then replay it as it is.'
    ],
    [
        /^id_conflict$/, 'Another order with the same id is stored.',
        'Correct and replay it with a new id, or discard it.'
    ],
    [
        /^sqlstate_/, 'PostgreSQL refuses the row: a constraint, a trigger, or a value.',
        'Change the table and replay it as it is; or correct and replay it.'
    ],
    [
        /^bulk_/, 'Elasticsearch refuses the document. The order is stored in PostgreSQL.',
        'Put the index right, then replay it as it is.'
    ],
    [
        /^rejected$/, 'A worker refused it and gave no code.',
        'The logs have more by its trace id; then replay it as it is, or discard it.'
    ],
    [
        /^expired$/, 'It was in the queue for longer than the queue lets messages live.',
        'Replay it as it is.'
    ],
    [
        /^maxlen$/, 'The queue had as many messages as it may have.',
        'Replay it as it is when the queue is shorter.'
    ],
    [
        /^delivery_limit$/, 'RabbitMQ gave it up after too many deliveries.',
        'Lift the limit of the queue by a policy (see the README), then replay it as it is.'
    ],
    [
        /^unknown$/, 'Somebody put it into the dead-letter queue and did not say why.',
        'Look at its body and properties; then replay or discard it.'
    ],
    [/^/, 'No reason of this pipeline: another program gave it.', 'The detail may tell more.'],
];

/** Those that a person may look for; others have a number at their end. */
export const REASON_CODES = [
    'malformed', 'unacceptable', 'too_large', 'message_id_mismatch', 'retries_exhausted',
    'id_conflict', 'bulk_400', 'rejected', 'expired', 'maxlen', 'delivery_limit', 'unknown'
];

/**
 * @param {string} code
 * @returns {{means: string, advice: string}}
 */
export function explainReason(code) {
    const [, means, advice] =
        /** @type {[RegExp, string, string]} */ (REASONS.find(([pattern]) => pattern.test(code)));
    return {means, advice};
}

/**
 * Where an order died.
 * @param {string} stage
 */
export function explainStage(stage) {
    switch (stage) {
    case 'intake':
        return 'before any worker had it';
    case 'persist':
        return 'on its way to PostgreSQL';
    case 'index':
        return 'on its way to Elasticsearch; PostgreSQL has it';
    default:
        return 'somewhere else';
    }
}
