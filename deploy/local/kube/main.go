// Command kube is a Kubernetes control plane in one static binary: the first argument
// (etcd, kube-apiserver, kube-controller-manager or kube-scheduler) says which part to be.
package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics of every part
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if len(os.Args) < 2 {
		refuse("no part named")
	}
	os.Args = os.Args[1:] // each part reads its flags from os.Args and takes [0] for its name
	switch os.Args[0] {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	default:
		refuse(fmt.Sprintf("unknown part %q", os.Args[0]))
	}
}

func refuse(problem string) {
	fmt.Fprintf(os.Stderr,
		"kube: %s; use etcd, kube-apiserver, kube-controller-manager or kube-scheduler\n", problem)
	os.Exit(2)
}
