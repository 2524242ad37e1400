// triangle.js - the causal square of attention weights: row = query, column = key, coloured by weight.
'use strict';

class Triangle {
    // `size` rows in all; `pick(query, key)` is called for a chosen cell, `say(query, key)` for a visited one.
    constructor(canvas, size, pick, say) {
        Object.assign(this, {canvas, size, pick, say, length: 1, cursor: null});
        canvas.addEventListener('click', (event) => this.click(event));
        canvas.addEventListener('keydown', (event) => this.key(event));
        canvas.addEventListener('focus', () => this.move(0, 0));
        canvas.addEventListener('blur', () => { this.cursor = null; this.draw(this.shown); });
    }

    click(event) {
        const side = this.canvas.clientWidth / this.size;
        const query = Math.floor(event.offsetY / side), key = Math.floor(event.offsetX / side);
        if (query < 0 || key < 0 || query >= this.length || key > query) return;
        this.cursor = {query, key};
        this.pick(query, key);
    }

    key(event) {
        const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
        if (event.key in moves) this.move(...moves[event.key]);
        else if (event.key === 'Enter' && this.cursor) this.pick(this.cursor.query, this.cursor.key);
        else return; // home, end and space belong to the page
        event.preventDefault();
        event.stopPropagation();
    }

    // Starts at the newest row, and stays within the triangle.
    move(down, right) {
        const from = this.cursor ?? {query: this.length - 1, key: this.length - 1};
        const query = Math.min(Math.max(from.query + down, 0), this.length - 1);
        this.cursor = {query, key: Math.min(Math.max(from.key + right, 0), query)};
        this.say(this.cursor.query, this.cursor.key);
        this.draw(this.shown);
    }

    // shown: {length, computed: Set of rows, weights(query) -> [query + 1], framed: the computed rows get a frame,
    // picked: {query, key} or null}
    draw(shown) {
        this.shown = shown;
        this.length = shown.length;
        if (this.cursor && this.cursor.query >= this.length) this.cursor = null;
        const {canvas} = this, pixels = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
        if (canvas.width !== pixels || canvas.height !== pixels) canvas.width = canvas.height = pixels;
        const paint = canvas.getContext('2d'), side = pixels / this.size;
        const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name).trim();
        const weight = colour('--weight'), skipped = colour('--skipped');
        paint.clearRect(0, 0, pixels, pixels);
        for (let query = 0; query < this.length; ++query) {
            const weights = shown.computed.has(query) ? shown.weights(query) : null;
            for (let key = 0; key <= query; ++key) {
                paint.fillStyle = weights ? weight : skipped;
                // Small weights stay visible: the eye has to tell "computed and small" from "not computed".
                paint.globalAlpha = weights ? 0.08 + 0.92 * Math.sqrt(weights[key]) : 1;
                this.cell(paint, query, key, side, weights === null);
            }
        }
        paint.globalAlpha = 1;
        if (shown.framed)
            for (const query of shown.computed) this.frame(paint, query, 0, query + 1, side, colour('--fresh'));
        if (shown.picked) this.column(paint, shown.picked.key, side, colour('--picked'));
        if (this.cursor) this.frame(paint, this.cursor.query, this.cursor.key, 1, side, colour('--focus'));
    }

    // Whole pixels, or the seams between cells would shine through; a skipped cell is a dot in its place.
    cell(paint, query, key, side, skipped) {
        const gap = skipped ? side / 3 : side >= 6 ? 0.5 : 0;
        const x = Math.round(key * side + gap), y = Math.round(query * side + gap);
        paint.fillRect(x, y, Math.max(1, Math.round((key + 1) * side - gap) - x), Math.max(1, Math.round((query + 1) * side - gap) - y));
    }

    frame(paint, query, key, columns, side, colour) {
        const line = Math.max(1.5, devicePixelRatio * 1.5);
        paint.strokeStyle = colour;
        paint.lineWidth = line;
        paint.strokeRect(key * side + line / 2, query * side + line / 2, Math.max(columns * side - line, line), Math.max(side - line, line));
    }

    // All cells that read the chosen position's K and V.
    column(paint, key, side, colour) {
        const line = Math.max(1, devicePixelRatio);
        paint.strokeStyle = colour;
        paint.lineWidth = line;
        paint.strokeRect(key * side + line / 2, key * side + line / 2, Math.max(side - line, 1), (this.length - key) * side - line);
    }
}
