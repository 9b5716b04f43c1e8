package main

import (
	"container/list"
	"io"
	"sync"

	"golang.org/x/sync/singleflight"
)

const (
	archiveLimit     = 256 * mebibyte // packed; far above what unpacks to the default limit
	defaultTreeLimit = 100 * mebibyte // unpacked, as the field's controllers have it
)

// TreeCache keeps the trees used last, up to a number of bytes (but always the newest). Trees come from
// archives on disk and go by their digest: the same digest is the same content. What they share counts once.
type TreeCache struct {
	files    *Readable
	capacity int64

	lock    sync.Mutex
	size    int64
	recent  *list.List // of *cachedTree, the last used in front
	entries map[string]*list.Element
	members map[memberKey]*member // of the trees that are kept
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
		members:  map[memberKey]*member{},
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
	archive, err := c.files.Open(reference.Archive, archiveLimit)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	total := reference.Limit
	if total <= 0 {
		total = defaultTreeLimit
	}
	fence := Fence{totalBytes: total, fileBytes: total, links: true}
	if members := c.membersOf(archive, fence); members != nil {
		return treeOf(members)
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	entries, err := unpack(archive, fence)
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
	c.count(tree)
	for c.size > c.capacity && c.recent.Len() > 1 {
		oldest := c.recent.Remove(c.recent.Back()).(*cachedTree)
		delete(c.entries, oldest.digest)
		c.discount(oldest.tree)
	}
}

func (c *TreeCache) count(tree *Tree) {
	c.size += tree.own
	for _, each := range tree.members {
		each.trees++
		if each.trees == 1 {
			c.size += each.size
			c.members[each.key] = each
		}
	}
}

func (c *TreeCache) discount(tree *Tree) {
	c.size -= tree.own
	for _, each := range tree.members {
		each.trees--
		if each.trees > 0 {
			continue
		}
		c.size -= each.size
		if c.members[each.key] == each {
			delete(c.members, each.key)
		}
	}
}

func (e *Engine) loadTree(reference TreeReference) (any, error) {
	tree, err := e.trees.Get(reference)
	if err != nil {
		return nil, err
	}
	return map[string]any{"files": len(tree.files), "bytes": tree.size}, nil
}
