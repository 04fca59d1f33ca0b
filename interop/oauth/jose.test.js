// jose verifies tokens as a server of resources does, with the key set that it fetches and keeps, while keys are rotated.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from 'jose';

import { basic, eventually, Haat } from './haat.js';

const ROTATIONS = 3;
// How long others may keep the key set.
const MAX_AGE = 6_000;
// A key waits besides for as long as writing it may take and until everybody has heard of it. That must be shorter than the
// max-age, or a key that is not announced for long enough would be by chance.
const SETTINGS = {
    HAAT_AUTH__JWKS_MAX_AGE: `${MAX_AGE}ms`,
    HAAT_DATABASE__QUERY_TIMEOUT: '1s',
    HAAT_DATABASE__ACQUIRE_TIMEOUT: '500ms',
};

let haat;
before(async () => {
    haat = await Haat.start(SETTINGS);
});
after(() => haat?.stop());

async function token() {
    const headers = { authorization: basic('basic', haat.clients.basic.secret) };
    const body = new URLSearchParams({ grant_type: 'client_credentials' });
    const answer = await fetch(`${haat.url}/oauth/token`, { method: 'POST', headers, body });
    assert.equal(answer.status, 200);
    return (await answer.json()).access_token;
}

const expected = () => ({
    issuer: haat.url,
    audience: haat.url,
    typ: 'at+jwt',
    requiredClaims: ['jti', 'client_id', 'scope'],
});

test(`${ROTATIONS} rotations: no valid token is refused`, async () => {
    const url = new URL(`${haat.url}/oauth/jwks`);
    // One that fetches again as soon as it meets a key that it does not know, and one that never does: it lives on the
    // promise that a key is announced for a max-age before it signs, and keeps the set for less than that.
    const eager = createRemoteJWKSet(url, { cooldownDuration: 0 });
    const patience = { cooldownDuration: 60_000, cacheMaxAge: MAX_AGE - 200 };
    let patient = createRemoteJWKSet(url, patience);
    const tokens = new Map();
    let verified = 0;
    const verifyAll = async () => {
        const fresh = await token();
        tokens.set(decodeProtectedHeader(fresh).kid, fresh);
        for (const issued of [fresh, ...tokens.values()]) {
            for (const keys of [eager, patient]) {
                const { payload } = await jwtVerify(issued, keys, expected());
                assert.equal(payload.client_id, 'basic');
                verified += 1;
            }
        }
    };
    for (let rotation = 1; rotation <= ROTATIONS; rotation += 1) {
        // Fetched just before there is a new key: nobody hears of it later.
        patient = createRemoteJWKSet(url, patience);
        await verifyAll();
        await haat.command('keys', 'rotate');
        await eventually(`key ${rotation + 1} signs`, async () => {
            await verifyAll();
            return tokens.size === rotation + 1;
        });
    }
    assert.equal(tokens.size, ROTATIONS + 1, 'every rotation brought a key of its own');
    assert.ok(verified > 2 * ROTATIONS);
});

test('jose refuses what is not a token of this server', async () => {
    const keys = createRemoteJWKSet(new URL(`${haat.url}/oauth/jwks`));
    const issued = await token();
    const [header, payload, signature] = issued.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url'));
    const changed = Buffer.from(JSON.stringify({ ...claims, scope: 'operate' })).toString('base64url');
    await assert.rejects(
        jwtVerify(`${header}.${changed}.${signature}`, keys, expected()),
        errors.JWSSignatureVerificationFailed,
    );
    await assert.rejects(
        jwtVerify(issued, keys, { ...expected(), audience: 'https://other.example/' }),
        errors.JWTClaimValidationFailed,
    );
    await assert.rejects(
        jwtVerify(issued, keys, { ...expected(), issuer: 'https://other.example' }),
        errors.JWTClaimValidationFailed,
    );
    await assert.rejects(jwtVerify(issued, keys, { ...expected(), typ: 'JWT' }), errors.JWTClaimValidationFailed);
});
