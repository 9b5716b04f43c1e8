package main

import (
	"errors"
	"sync"

	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// schemaLock guards kustomize's schemas, which belong to the process: builds that use the built-in ones share
// it, a build that brings its own has it alone and leaves it as it was.
var (
	schemaLock sync.RWMutex
	schemaOnce sync.Once
)

// errOwnSchema stops a build that has met a schema of its own while others share the built-in ones.
var errOwnSchema = errors.New("this build brings its own schema")

// loadSchema fills what builds afterwards only read: kustomize fills it at first need, without a lock for readers.
func loadSchema() {
	openapi.Schema()
}

func withSharedSchema(build func() (*description, error)) (*description, error) {
	schemaOnce.Do(loadSchema)
	schemaLock.RLock()
	defer schemaLock.RUnlock()
	return build()
}

func withOwnSchema(build func() (*description, error)) (*description, error) {
	schemaLock.Lock()
	defer schemaLock.Unlock()
	defer loadSchema()
	defer openapi.ResetOpenAPI()
	return build()
}

// warmUp loads what the first build would otherwise wait for.
func (e *Engine) warmUp() {
	defer e.watch.Work()()
	schemaOnce.Do(loadSchema)
}
