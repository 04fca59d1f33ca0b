// What goes wrong at the proxy, and when.

import { random, shuffled } from './random.js';

/** How long a throttled caller is asked to wait, in seconds. */
export const RETRY_AFTER = 2;

/** Each of them ends an exchange without what was asked for. */
export const KINDS = ['429', '500', 'hang', 'cut'];

/** How many of twelve requests fail: a third, so that no breaker opens. */
const ROUND = 12;

/** A schedule: in every round of twelve requests each kind comes once, in an order of chance. */
export function everyKind(seed) {
    const chance = random(seed);
    let round = [];
    return () => {
        if (round.length === 0) round = shuffled([...KINDS, ...Array(ROUND - KINDS.length).fill(undefined)], chance);
        return round.pop();
    };
}

/** A schedule of one fault, from the request of that number on (the first is 1), so many times. */
export function only(fault, number, times = 1) {
    let n = 0;
    return () => {
        n += 1;
        return n >= number && n < number + times ? fault : undefined;
    };
}

const body = (statusCode, message) => JSON.stringify({ statusCode, message, errors: [{ code: 'General', message }] });
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

/** Does what the fault is called to an exchange; `answer` is what would have been answered. */
export async function commit(fault, response, answer) {
    switch (fault) {
        case '429':
            response.writeHead(429, { ...JSON_TYPE, 'retry-after': String(RETRY_AFTER) });
            return response.end(body(429, 'Too many requests'));
        case '500':
            response.writeHead(500, JSON_TYPE);
            return response.end(body(500, 'Something went wrong'));
        case 'hang':
            // Accepted and never answered: it ends when the caller has had enough.
            return undefined;
        case 'cut': {
            const { status, text } = await answer();
            const bytes = Buffer.from(text);
            response.writeHead(status, { ...JSON_TYPE, 'content-length': bytes.length });
            return response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
        }
        default:
            throw new Error(`there is no fault '${fault}'`);
    }
}
