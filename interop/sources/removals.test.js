// What vanishes upstream, vanishes here: some of it by itself, much of it only when somebody says so.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { commercetools, World } from './world.js';

const PRODUCTS = 200;
// A fifth may go unasked; and one more.
const TOO_MANY = 41;

let world, haat;
before(async () => {
    world = await World.start(PRODUCTS, commercetools);
    haat = world.haat;
    const { run } = await haat.sync('shop');
    assert.equal(run.counts.created, PRODUCTS);
});
after(() => world?.stop());

const skus = async () => new Set((await haat.exported()).keys());
const status = async () => (await haat.command('sources')).sources[0];
const sku = ({ masterData }) => masterData.current.masterVariant.sku;

test('a product that is unpublished goes at the next full sync, and comes back when it is published again', async () => {
    const [one] = await world.api.all('products');
    const update = async (action) => {
        const { version } = await world.api.ask('GET', `products/${one.id}`);
        await world.api.ask('POST', `products/${one.id}`, { version, actions: [{ action }] });
    };
    await update('unpublish');
    const { run } = await haat.sync('shop', '--full');
    assert.equal(run.counts.removed, 1);
    assert.ok(!(await skus()).has(sku(one)));
    await update('publish');
    const again = await haat.sync('shop');
    assert.equal(again.run.mode, 'incremental');
    assert.equal(again.run.counts.created, 1);
    assert.ok((await skus()).has(sku(one)));
});

test('more than a fifth gone at once waits for a confirmation, and goes with it', async () => {
    const gone = (await world.api.all('products', { where: 'masterData(published = true)' })).slice(0, TOO_MANY);
    for (const { id, version } of gone) await world.api.ask('DELETE', `products/${id}?version=${version}`);

    const head = await haat.head();
    const waits = await haat.sync('shop', '--full');
    assert.equal(waits.run.state, 'awaiting_confirmation');
    assert.notEqual(waits.code, 0);
    assert.match(waits.run.message, /^41 of 200 products .*--confirm-removals/);
    assert.equal(await haat.head(), head, 'something was written');
    assert.equal((await status()).state, 'awaiting_confirmation');
    assert.equal((await skus()).size, PRODUCTS);

    const confirmed = await haat.sync('shop', '--confirm-removals');
    assert.equal(confirmed.run.state, 'done', confirmed.run.message);
    assert.equal(confirmed.run.counts.removed, TOO_MANY);
    assert.equal(confirmed.code, 0);
    const left = await skus();
    assert.equal(left.size, PRODUCTS - TOO_MANY);
    for (const product of gone) assert.ok(!left.has(sku(product)));
    assert.equal((await status()).state, 'idle');
});
