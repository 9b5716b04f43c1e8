package main

import (
	"container/list"
	"sync"

	"golang.org/x/sync/singleflight"
)

const (
	archiveLimit     = 256 * mebibyte // packed; far above what unpacks to the default limit
	defaultTreeLimit = 100 * mebibyte // unpacked, as the field's controllers have it
)

// TreeCache keeps the trees used last, up to a number of bytes (but always the newest). Trees come from
// archives on disk and go by their digest: the same digest is the same content.
type TreeCache struct {
	files    *Readable
	capacity int64

	lock    sync.Mutex
	size    int64
	recent  *list.List // of *cachedTree, the last used in front
	entries map[string]*list.Element
	loading singleflight.Group
}

type cachedTree struct {
	digest string
	tree   *Tree
}

// TreeReference names a tree; its archive is read when the tree is not in memory (any more).
type TreeReference struct {
	Tree    string `json:"tree"`
	Archive string `json:"archive"`
	Limit   int64  `json:"limit"` // bytes it may unpack to
}

func newTreeCache(files *Readable, capacity int64) *TreeCache {
	return &TreeCache{
		files:    files,
		capacity: capacity,
		recent:   list.New(),
		entries:  map[string]*list.Element{},
	}
}

// Get answers a tree from memory, or reads it from its archive: once, however many ask at the same time.
func (c *TreeCache) Get(reference TreeReference) (*Tree, error) {
	if reference.Tree == "" {
		return nil, refuse("a tree without a digest")
	}
	if tree := c.find(reference.Tree); tree != nil {
		return tree, nil
	}
	loaded, err, _ := c.loading.Do(reference.Tree, func() (any, error) {
		tree, err := c.load(reference)
		if err == nil {
			c.keep(reference.Tree, tree)
		}
		return tree, err
	})
	return loaded.(*Tree), err
}

func (c *TreeCache) find(digest string) *Tree {
	c.lock.Lock()
	defer c.lock.Unlock()
	element, ok := c.entries[digest]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(element)
	return element.Value.(*cachedTree).tree
}

func (c *TreeCache) load(reference TreeReference) (*Tree, error) {
	archive, err := c.files.Read(reference.Archive, archiveLimit)
	if err != nil {
		return nil, err
	}
	total := reference.Limit
	if total <= 0 {
		total = defaultTreeLimit
	}
	entries, err := unpack(archive, Fence{totalBytes: total, fileBytes: total, links: true})
	if err != nil {
		return nil, err
	}
	return newTree(entries)
}

func (c *TreeCache) keep(digest string, tree *Tree) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if _, known := c.entries[digest]; known {
		return
	}
	c.entries[digest] = c.recent.PushFront(&cachedTree{digest, tree})
	c.size += tree.size
	for c.size > c.capacity && c.recent.Len() > 1 {
		oldest := c.recent.Remove(c.recent.Back()).(*cachedTree)
		delete(c.entries, oldest.digest)
		c.size -= oldest.tree.size
	}
}

func (e *Engine) loadTree(reference TreeReference) (any, error) {
	tree, err := e.trees.Get(reference)
	if err != nil {
		return nil, err
	}
	return map[string]any{"files": len(tree.files), "bytes": tree.size}, nil
}
