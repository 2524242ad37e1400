"""Chapter 7's pages and its index of prefixes once more, in plain Python: numbers of pages, and nothing in them."""
import heapq

PAGE = 64  # slots


class Pool:
    def __init__(self, pages, slots=PAGE):
        self.pages, self.slots = pages, slots
        self.stack, self.users = list(range(pages))[::-1], [0] * pages
        self.most_used = self.copied = 0

    @property
    def free(self):
        return len(self.stack)

    def needed(self, tokens):
        return -(-tokens // self.slots)

    def take(self):
        page = self.stack.pop()
        self.users[page] = 1
        self.most_used = max(self.most_used, self.pages - self.free)
        return page

    def release(self, page):
        self.users[page] -= 1
        if not self.users[page]:
            self.stack.append(page)


class Entry:
    def __init__(self, parent, page):
        self.parent, self.page, self.children, self.used = parent, page, 0, 0


class Prefixes:
    """A dictionary of whole beginnings, a page each; what nothing goes on from is evicted, the longest unused first."""

    def __init__(self, pool):
        self.pool, self.entries, self.now, self.ends, self.numbers = pool, {}, 0, [], {}

    def keys(self, scope, tokens):
        """A number for every beginning of whole pages: the same for the same tokens."""
        before, slots = scope, self.pool.slots
        for at in range(0, len(tokens) - slots + 1, slots):
            key = (before, tuple(tokens[at:at + slots]))
            before = self.numbers.setdefault(key, len(self.numbers))
            yield before

    def known(self, scope, tokens):
        found = []
        for key in self.keys(scope, tokens):
            if key not in self.entries:
                break
            found.append(key)
        return found

    def use(self, key):
        entry = self.entries[key]
        entry.used = self.now
        if not entry.children:
            heapq.heappush(self.ends, (entry.used, key))

    def find(self, scope, tokens):
        self.now += 1
        found = self.known(scope, tokens)
        for key in found:
            self.use(key)
        return [self.entries[key].page for key in found]

    def insert(self, scope, tokens, pages):
        self.now += 1
        parent = None
        for key, page in zip(self.keys(scope, tokens[:len(pages) * self.pool.slots]), pages):
            if key not in self.entries:
                self.entries[key] = Entry(parent, page)
                self.pool.users[page] += 1
                if parent is not None:
                    self.entries[parent].children += 1
            self.use(key)
            parent = key

    def evict(self, count):
        done, kept = 0, []
        while done < count and self.ends:
            used, key = heapq.heappop(self.ends)
            entry = self.entries.get(key)
            if entry is None or entry.used != used or entry.children:
                continue
            if self.pool.users[entry.page] > 1:
                kept.append((used, key))
                continue
            del self.entries[key]
            self.pool.release(entry.page)
            done += 1
            if entry.parent is not None:
                parent = self.entries[entry.parent]
                parent.children -= 1
                if not parent.children:
                    heapq.heappush(self.ends, (parent.used, entry.parent))
        for one in kept:
            heapq.heappush(self.ends, one)
        return done

    def evictable(self):
        stays = set()
        for key, entry in self.entries.items():
            if self.pool.users[entry.page] > 1:
                while key is not None and key not in stays:
                    stays.add(key)
                    key = self.entries[key].parent
        return len(self.entries) - len(stays)
