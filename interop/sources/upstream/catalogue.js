// What is in the mock: made up by chance, with everything that a product of commercetools can have and some lack.

import { random } from './random.js';

const COLOURS = [
    { key: 'red', label: { en: 'Red', de: 'Rot', 'en-GB': 'Crimson' } },
    { key: 'blue', label: { de: 'Blau', en: 'Blue' } },
    { key: 'ecru', label: { fr: 'Écru' } },
];
const SIZES = ['S', 'M', 'L'].map((label) => ({ key: label.toLowerCase(), label }));
const SHOP = { typeId: 'channel', id: '00000000-0000-4000-8000-0000000000c1' };
const LABELS = ['vegan', 'organic', 'local', 'söt & süß', '"quoted" \\ back'];

const set = (elementType) => ({ name: 'set', elementType });
const reference = { name: 'reference', referenceTypeId: 'product' };
/** By name: what type an attribute is of, and how a value is made up. A missing value is one that a variant does not have. */
const ATTRIBUTES = {
    brand: [{ name: 'text' }, (c) => c.some(0.9, () => c.pick(['Fresho', 'Müller', 'O’Hara & Sons']))],
    colour: [{ name: 'lenum', values: COLOURS }, (c) => c.some(0.8, () => c.pick(COLOURS))],
    size: [{ name: 'enum', values: SIZES }, (c) => c.some(0.8, () => c.pick(SIZES))],
    labels: [set({ name: 'text' }), (c) => c.some(0.7, () => c.several(LABELS))],
    sizes: [set({ name: 'enum', values: SIZES }), (c) => c.some(0.5, () => c.several(SIZES))],
    colours: [set({ name: 'lenum', values: COLOURS }), (c) => c.some(0.5, () => c.several(COLOURS))],
    numbers: [set({ name: 'number' }), (c) => c.some(0.3, () => [c.below(10), c.below(10) + 0.5])],
    weight: [{ name: 'number' }, (c) => c.some(0.8, () => c.pick([0, 1, 250, 0.75, -3.5, 1_000_000]))],
    organic: [{ name: 'boolean' }, (c) => c.some(0.8, () => c.pick([true, false]))],
    care: [{ name: 'ltext' }, (c) => c.some(0.6, () => c.text('Care', 0.7))],
    deposit: [{ name: 'money' }, (c) => c.some(0.4, () => typed(c.money('EUR')))],
    since: [{ name: 'date' }, (c) => c.some(0.4, () => `202${c.below(6)}-0${1 + c.below(9)}-11`)],
    related: [reference, (c) => c.some(0.3, () => ({ typeId: 'product', id: `ref-${c.below(100)}` }))],
    bundle: [set(reference), (c) => c.some(0.2, () => [{ typeId: 'product', id: `ref-${c.below(100)}` }])],
    nutrition: [{ name: 'nested' }, (c) => c.some(0.3, () => [{ name: 'weight', value: c.below(9) }])],
    layers: [set({ name: 'nested' }), (c) => c.some(0.2, () => [[{ name: 'organic', value: true }]])],
};
/** What all variants share is kept at the product (attribute level "Product"). */
const SHARED = { origin: [{ name: 'text' }, (c) => c.some(0.5, () => c.pick(['Pune', 'Lyon', 'Köln']))] };

/** Chance, in the words of this file. */
class Chance {
    constructor(seed) {
        this.next = random(seed);
        this.below = (n) => Math.floor(this.next() * n);
        this.pick = (items) => items[this.below(items.length)];
        this.several = (items) => items.filter(() => this.next() < 0.5);
        this.some = (share, make) => (this.next() < share ? make() : undefined);
    }

    /** A text by locale: always in German; in English with that probability, some of these in British English as well. */
    text(text, english) {
        const texts = { de: `${text} (de) ${this.below(1_000)} ß` };
        if (this.next() < english) {
            texts.en = `${text} ${this.below(1_000)} ½ “x” <b>`;
            if (this.next() < 0.3) texts['en-GB'] = `${text} (GB) ${this.below(1_000)}`;
        }
        return texts;
    }

    money(currencyCode) {
        return { currencyCode, centAmount: 1 + this.below(100_000) };
    }

    /** Prices in two currencies, each some of them discounted; and one for a country that nobody has asked for. */
    prices() {
        const price = (currency, more = {}) => ({
            value: this.money(currency),
            ...(this.next() < 0.3 && {
                discounted: { value: this.money(currency), discount: { typeId: 'product-discount', id: 'sale' } },
            }),
            ...more,
        });
        const prices = [price('USD'), price('EUR')];
        if (this.next() < 0.3) prices.unshift(price('EUR', { country: 'DE' }));
        return prices;
    }

    attributes(definitions) {
        const made = Object.entries(definitions).map(([name, [, make]]) => ({ name, value: make(this) }));
        return made.filter(({ value }) => value !== undefined);
    }

    variant(sku) {
        const images = Array.from({ length: this.below(4) }, (_, i) => ({
            url: `https://images.example/${sku}/${i}.jpg?w=1&h=ü`,
            dimensions: { w: 100, h: 80 },
        }));
        return { sku, prices: this.prices(), images, attributes: this.attributes(ATTRIBUTES) };
    }

    product(number, productType, categories) {
        const sku = `SKU-${String(number).padStart(5, '0')}`;
        const variants = Array.from({ length: this.below(4) }, (_, i) => this.variant(`${sku}/${i}`));
        // A variant may have no price in the currency; then that of the product holds.
        for (const variant of variants.filter(() => this.next() < 0.1)) variant.prices = [];
        return {
            key: `product-${number}`,
            productType,
            name: { ...this.text(`Product ${number}`, 1) },
            slug: { en: `product-${number}` },
            ...(this.next() < 0.8 && { description: this.text(`All about ${number}.\nMore`, 0.8) }),
            categories: this.several(categories)
                .slice(0, this.below(4))
                .map(({ id }) => ({ typeId: 'category', id })),
            masterVariant: this.variant(sku),
            variants,
            attributes: this.attributes(SHARED),
            publish: true,
        };
    }
}

const typed = (money) => ({ type: 'centPrecision', fractionDigits: 2, ...money });

/** Fills a project with so many published products, and with some that are not. */
export async function fill(api, count, seed) {
    const chance = new Chance(seed);
    const { id } = await api.ask('POST', 'product-types', productType());
    const categories = await fillCategories(api);
    await api.mock.project(api.project).unsafeAdd('channel', { id: SHOP.id, key: 'shop', roles: ['InventorySupply'] });
    const first = Date.parse('2026-01-05T06:07:08.009Z');
    for (let number = 0; number < count; number += 1) {
        const draft = chance.product(number, { typeId: 'product-type', id }, categories);
        const product = await api.ask('POST', 'products', draft);
        // Made some minutes after each other, a while ago: what was changed since is then few.
        await date(api, product.id, new Date(first + number * 300_000));
        if (chance.next() < 0.1) await stageOnly(api, product);
        for (const variant of [draft.masterVariant, ...draft.variants]) await fillStock(api, chance, variant.sku);
    }
    for (let number = count; number < count + Math.ceil(count / 100); number += 1) {
        const draft = chance.product(number, { typeId: 'product-type', id }, categories);
        await api.ask('POST', 'products', { ...draft, publish: false });
    }
    await api.remember();
}

function productType() {
    const definition =
        (level) =>
        ([name, [type]]) => ({ name, type, level, label: { en: name }, isRequired: false });
    return {
        name: 'Everything',
        description: 'A product type with attributes of all types',
        attributes: [
            ...Object.entries(ATTRIBUTES).map(definition('Variant')),
            ...Object.entries(SHARED).map(definition('Product')),
        ],
    };
}

/** Three levels of categories; some have a name in British English. */
async function fillCategories(api) {
    const categories = [];
    const add = async (name, parent) => {
        const draft = {
            name: { de: `${name} (de)`, en: name, ...(name.length % 2 && { 'en-GB': `${name} (GB)` }) },
            slug: { en: `category-${categories.length}` },
            ...(parent && { parent: { typeId: 'category', id: parent.id } }),
        };
        categories.push(await api.ask('POST', 'categories', draft));
        return categories.at(-1);
    };
    for (const root of ['Food', 'Drinks', 'Household']) {
        const top = await add(root);
        for (const n of [1, 22]) await add(`${root} ${n} bottom`, await add(`${root} ${n}`, top));
    }
    return categories;
}

/** As if a product was made and last changed at that moment. */
async function date(api, id, moment) {
    const project = api.mock.project(api.project);
    const at = moment.toISOString();
    await project.unsafeAdd('product', { ...(await project.get('product', id)), createdAt: at, lastModifiedAt: at });
}

/** A change that is not published, and so not to be seen. */
async function stageOnly(api, { id }) {
    const project = api.mock.project(api.project);
    const product = await project.get('product', id);
    product.masterData.staged.name = { en: 'Not published yet', de: 'Noch nicht' };
    product.masterData.hasStagedChanges = true;
    await project.unsafeAdd('product', product);
}

/** What lies in stock of a variant: at no channel, at a shop, both or neither. More can be reserved than there is. */
async function fillStock(api, chance, sku) {
    const own = chance.some(0.8, () => chance.pick([0, -2, 1, 37, 100_000]));
    const shop = chance.some(0.3, () => chance.below(50));
    if (own !== undefined) await api.ask('POST', 'inventory', { sku, quantityOnStock: own });
    if (shop !== undefined) await api.ask('POST', 'inventory', { sku, quantityOnStock: shop, supplyChannel: SHOP });
}
