package main

// warmUp loads what the first build would otherwise wait for.
func (e *Engine) warmUp() {
	defer e.watch.Work()()
	schemaOnce.Do(loadSchema)
}
