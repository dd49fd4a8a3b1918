package kernel

/*
#cgo pkg-config: python3-embed
#cgo CFLAGS: -std=c11 -D_GNU_SOURCE -O2 -fno-strict-aliasing -Wall -Wextra
#cgo LDFLAGS: -lpthread -lm
#cgo noescape pyexec_run
#cgo noescape pyexec_mail_wait
*/
import "C"
