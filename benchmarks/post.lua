-- What wrk posts: $BODY to the path and query in $TARGET.
wrk.method = "POST"
wrk.path = os.getenv("TARGET")
wrk.body = os.getenv("BODY")
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
