# Weighted, stratified and tied survival data at sizes whose shares are no whole numbers; R 4.2.2, survival 3.5-3, maxstat 0.7-25.
suppressMessages({ library(survival); library(maxstat); library(jsonlite) })
set.seed(11)
draw <- function(n, p, unit, cens = .5) {
  x <- matrix(rnorm(n * p), n) %*% (diag(p) + .3); colnames(x) <- paste0("f", 1:p)
  t <- ceiling(rexp(n) * exp(-.6 * x[, 1]) * unit); c <- ceiling(rexp(n) * unit / cens)
  data.frame(time = pmin(t, c), status = as.integer(t <= c), x)
}
exact <- coxph.control(eps = 1e-11, toler.chol = 1e-13)
one <- function(n, unit) {
  d <- draw(n, 2, unit); d$f5 <- rbinom(n, 1, .4); d$w <- round(runif(n, .2, 3), 2); d$s <- sample(c("a", "b", "c"), n, TRUE)
  out <- list(input = d)
  for (ties in c("efron", "breslow")) {
    m <- coxph(Surv(time, status) ~ f1 + f2 + f5, d, ties = ties, weights = w, control = exact)
    s <- coxph(Surv(time, status) ~ f1 + f2 + f5 + strata(s), d, ties = ties, control = exact)
    out[[ties]] <- list(coef = unname(coef(m)), naive = sqrt(diag(m$naive.var)), robust = sqrt(diag(m$var)), loglik = m$loglik,
      strata_coef = unname(coef(s)), strata_var = unname(vcov(s)),
      zph_km = cox.zph(s)$table, zph_rank = cox.zph(s, transform = "rank")$table, zph_identity = cox.zph(s, transform = "identity")$table)
  }
  for (share in c(.1, .13)) {
    p <- sapply(c("Lau92", "Lau94", "exactGauss"), function(k)
      maxstat.test(Surv(time, status) ~ f1, d, smethod = "LogRank", pmethod = k, minprop = share, maxprop = 1 - share)$p.value)
    m <- maxstat.test(Surv(time, status) ~ f1, d, smethod = "LogRank", pmethod = "none", minprop = share, maxprop = 1 - share)
    out[[paste0("maxstat_", share)]] <- list(statistic = unname(m$statistic), cut = unname(m$estimate), n = length(m$cuts), p = unname(p))
  }
  lp <- round(d$f1 + rnorm(n), 1)
  out$lp <- lp
  for (r in c("n", "n/G2", "S")) { k <- concordance(Surv(time, status) ~ lp, d, reverse = TRUE, timewt = r)
    out[[paste0("c_", r)]] <- c(k$concordance, k$var) }
  out$c_weighted <- unname(concordance(Surv(time, status) ~ lp, d, reverse = TRUE, weights = w)$concordance)
  for (r in c("n", "n/G2")) {
    k <- concordance(Surv(time, status) ~ lp, d, reverse = TRUE, timewt = r, weights = w); out[[paste0("weighted_", r)]] <- c(k$concordance, k$var, k$cvar)
    k <- concordance(Surv(time, status) ~ lp + strata(s), d, reverse = TRUE, timewt = r); out[[paste0("strata_", r)]] <- c(k$concordance, k$var, sum(k$cvar)) }
  out
}
cases <- list(n37 = one(37, 3), n61 = one(61, 5), n83 = one(83, 40))
writeLines(toJSON(cases, digits = NA, auto_unbox = TRUE), gzfile("other_data.json.gz"))
