// triangle.js - the causal square of attention weights: row = query, column = key, coloured by weight.
'use strict';

const MARGIN = 3; // CSS pixels round the cells, so that a frame has room at the border

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
        const side = (this.canvas.clientWidth - 2 * MARGIN) / this.size;
        const query = Math.floor((event.offsetY - MARGIN) / side), key = Math.floor((event.offsetX - MARGIN) / side);
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
        const paint = canvas.getContext('2d'), margin = MARGIN * devicePixelRatio, side = (pixels - 2 * margin) / this.size;
        const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name).trim();
        const weight = colour('--weight'), skipped = colour('--skipped');
        paint.setTransform(1, 0, 0, 1, 0, 0);
        paint.clearRect(0, 0, pixels, pixels);
        paint.translate(margin, margin);
        this.outline(paint, side, colour('--line'));
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
        if (shown.framed) {
            const first = Math.min(...shown.computed), last = Math.max(...shown.computed);
            this.frame(paint, first, 0, last - first + 1, last + 1, side, colour('--fresh'));
        }
        // All cells that read the chosen position's K and V.
        if (shown.picked) this.frame(paint, shown.picked.key, shown.picked.key, this.length - shown.picked.key, 1, side, colour('--picked'));
        if (this.cursor) this.frame(paint, this.cursor.query, this.cursor.key, 1, 1, side, colour('--focus'));
    }

    // Whole pixels, or the seams between cells would shine through; a skipped cell is a dot in its place.
    cell(paint, query, key, side, skipped) {
        const gap = skipped ? side / 3 : side >= 6 ? 0.5 : 0;
        const x = Math.round(key * side + gap), y = Math.round(query * side + gap);
        paint.fillRect(x, y, Math.max(1, Math.round((key + 1) * side - gap) - x), Math.max(1, Math.round((query + 1) * side - gap) - y));
    }

    // What the whole text will fill.
    outline(paint, side, colour) {
        const end = this.size * side;
        paint.strokeStyle = colour;
        paint.lineWidth = devicePixelRatio;
        paint.beginPath();
        paint.moveTo(0, 0);
        for (const [x, y] of [[side, 0], [end, end - side], [end, end], [0, end]]) paint.lineTo(x, y);
        paint.closePath();
        paint.stroke();
    }

    // Round the cells, not on them: they can be as small as the line is wide.
    frame(paint, query, key, rows, columns, side, colour) {
        const line = 1.5 * devicePixelRatio;
        paint.strokeStyle = colour;
        paint.lineWidth = line;
        paint.strokeRect(key * side - line / 2, query * side - line / 2, columns * side + line, rows * side + line);
    }
}
