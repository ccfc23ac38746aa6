# Cases in the layout of the other files, on other data: survival's pbc, gbsg, colon and veteran and drawn tables with ties.
# R 4.2.2; survival 3.5-3, glmnet 4.1-6, Hmisc 4.8-0, maxstat 0.7-25, rms 6.5-0, riskRegression 2022.11.28, pec, gbm 2.1.8.1, MASS.
suppressMessages({ library(survival); library(glmnet); library(maxstat); library(rms); library(riskRegression); library(prodlim)
  library(gbm); library(MASS); library(jsonlite) })
set.seed(31)
out <- list()
nums <- function(x) as.numeric(unlist(x))
pb <- na.omit(transform(pbc, status = as.integer(status == 2), lb = log(bili), pro = log(protime))[c("time", "status", "age", "lb", "albumin", "edema", "pro", "stage", "copper", "platelet")])
gb <- transform(gbsg, time = ceiling(rfstime / 30), nodes = log1p(nodes), pgr = log1p(pgr), er = log1p(er))[c("time", "status", "age", "size", "nodes", "pgr", "er", "hormon", "grade", "meno")]
gb <- gb[sample(nrow(gb), 220), ]
co <- na.omit(colon[colon$etype == 2, c("time", "status", "age", "nodes", "extent", "sex", "obstruct")]); co <- co[sample(nrow(co), 180), ]; co$time <- ceiling(co$time / 60)
exact <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50)

cox <- function(d, right, times, ties = "efron") {
  f <- as.formula(paste("Surv(time, status) ~", right)); g <- coxph(f, d, ties = ties, control = exact, x = TRUE)
  s <- summary(g); ci <- confint(g); z <- cox.zph(g); z2 <- cox.zph(g, transform = "log", terms = FALSE)
  block <- function(k) list(rows = rownames(k$table), cols = colnames(k$table), data = unname(k$table))
  v <- list(n = g$n, nevent = g$nevent, terms = names(coef(g)), coef = nums(coef(g)), HR = exp(nums(coef(g))), se = sqrt(diag(vcov(g))), z = nums(s$coefficients[, "z"]),
    p = nums(s$coefficients[, "Pr(>|z|)"]), coef_lower95 = nums(ci[, 1]), coef_upper95 = nums(ci[, 2]), HR_lower95 = exp(nums(ci[, 1])), HR_upper95 = exp(nums(ci[, 2])),
    loglik_null = g$loglik[1], loglik = g$loglik[2], lrt = nums(s$logtest), wald = nums(s$waldtest), score = nums(s$sctest), AIC = AIC(g), BIC = BIC(g), vcov = unname(vcov(g)),
    concordance = nums(s$concordance), means = nums(g$means), cox_zph = block(z), cox_zph_log_terms_false = block(z2), lp = nums(g$linear.predictors)[1:5],
    martingale_first10 = nums(residuals(g, "martingale"))[1:10], schoenfeld_first5 = unname(as.matrix(residuals(g, "schoenfeld"))[1:5, , drop = FALSE]))
  if (!grepl("strata", right)) { k <- summary(survfit(g, newdata = d[1:5, ]), times = times); b <- basehaz(g, centered = FALSE)
    v$pred_times <- times; v$pred_surv <- unname(k$surv); v$pred_lower <- unname(k$lower); v$pred_upper <- unname(k$upper)
    v$pred_se_logsurv <- unname(k$std.err / k$surv); v$basehaz_uncentered_at_times <- sapply(times, function(t) max(b$hazard[b$time <= t])) }
  list(input = d, values = v)
}
robust <- function(d, right, id) { d$id <- id; g <- coxph(as.formula(paste("Surv(time, status) ~", right)), d, cluster = id, control = exact); s <- summary(g)$coefficients
  one <- function(k) as.list(s[, k]); list(input = d, values = list(coef = one("coef"), se = one("se(coef)"), robust_se = one("robust se"), z = one("z"), p = one("Pr(>|z|)"))) }
out$coxph <- list(pbc_efron = cox(pb, "age + lb + albumin + edema", c(500, 1500, 3000)), gbsg_breslow_ties = cox(gb, "age + nodes + pgr + hormon + factor(grade)", c(12, 36, 60), "breslow"),
  gbsg_efron_ties = cox(gb, "age + nodes + pgr + hormon + factor(grade)", c(12, 36, 60)), colon_heavy_ties = cox(co, "age + nodes + extent + sex", c(5, 20, 40)),
  pbc_strata = cox(pb, "age + lb + albumin + strata(stage)", NULL), gbsg_robust = robust(gb, "age + nodes + hormon", rep(1:55, 4)))

conc <- function(d, a, b, tau) {
  S <- Surv(d$time, d$status); l1 <- signif(a, 12); l2 <- signif(b, 12)
  one <- function(...) { h <- concordance(S ~ l1, reverse = TRUE, ...); n <- h$concordance; list(C = unname(n), var = h$var, se = sqrt(h$var), ci_wald = unname(n) + c(-1, 1) * qnorm(.975) * sqrt(h$var),
    counts = as.list(h$count), cvar = h$cvar) }
  e <- concordance(S ~ l1, reverse = TRUE, influence = 1); f <- concordance(S ~ l2, reverse = TRUE, influence = 1); V <- crossprod(cbind(e$dfbeta, f$dfbeta)); df <- e$concordance - f$concordance; se <- sqrt(V[1] + V[4] - 2 * V[2])
  rc <- function(k) lapply(as.list(k), nums)
  list(input = list(time = d$time, status = d$status, lp1 = l1, lp2 = l2), values = list(harrell = one(), harrell_ymax_tau = one(ymax = tau), uno_timewt_nG2 = one(timewt = "n/G2"),
    uno_timewt_nG2_ymax_tau = one(timewt = "n/G2", ymax = tau), tau = tau, paired = list(C = nums(c(e$concordance, f$concordance)), vcov = unname(V), diff = unname(df), se = se, z = unname(df / se), p = unname(2 * pnorm(-abs(df / se)))),
    Hmisc_rcorr_cens = rc(Hmisc::rcorr.cens(-l1, S)), Hmisc_rcorrp = rc(Hmisc::rcorrp.cens(-l1, -l2, S))))
}
out$concordance <- list(pbc = conc(pb, predict(coxph(Surv(time, status) ~ age + lb, pb)), predict(coxph(Surv(time, status) ~ albumin + edema, pb)), 2000),
  gbsg_ties = conc(gb, predict(coxph(Surv(time, status) ~ nodes, gb)), predict(coxph(Surv(time, status) ~ grade + hormon, gb)), 40), colon_ties = conc(co, co$nodes * .1, co$extent * .4 + co$age * .001, 30))

km <- function(d, group, times, tau) {
  d$.g <- d[[group]]; S <- Surv(time, status) ~ .g; one <- function(k) survfit(S, d, conf.type = k); cut <- c(.25, .5, .75)
  q <- function(k) { z <- quantile(one(k), cut); list(strata = names(one(k)$strata), probs = cut, quantile = unname(z$quantile), lower = unname(z$lower), upper = unname(z$upper)) }
  lr <- function(r) { z <- survdiff(S, d, rho = r); df <- length(z$n) - 1; list(rho = r, n = nums(z$n), obs = z$obs, exp = z$exp, var = unname(z$var), chisq = z$chisq, df = df, p = pchisq(z$chisq, df, lower.tail = FALSE)) }
  z <- one("log"); rm <- summary(z, rmean = tau)$table; fu <- quantile(survfit(Surv(time, 1 - status) ~ 1, d), .5)
  tab <- function(k) summary(one(k), times = times, extend = TRUE); a <- tab("log"); b <- tab("log-log"); c <- tab("plain")
  list(input = d[c("time", "status", group)], values = list(group = group, times = times, n = nums(z$n), events = nums(rm[, "events"]), quantiles_log = q("log"), quantiles_loglog = q("log-log"), quantiles_plain = q("plain"),
    logrank = lr(0), peto_peto_rho1 = lr(1), rmst_tau = tau, rmst = nums(rm[, "rmean"]), rmst_se = nums(rm[, grepl("se\\(", colnames(rm))]), reverse_km_median_followup = list(`50` = nums(fu$quantile), `50.1` = nums(fu$lower), `50.2` = nums(fu$upper))),
    tables = list(expected_surv_at_times = list(strata = as.character(a$strata), time = a$time, n_risk = a$n.risk, surv = a$surv, se = a$std.err, lower_log = a$lower, upper_log = a$upper, lower_loglog = b$lower, upper_loglog = b$upper, lower_plain = c$lower, upper_plain = c$upper)))
}
out$km_logrank <- list(pbc_stage = km(pb, "stage", c(400, 1500, 2800), 2500), gbsg_ties = km(gb, "grade", c(6, 24, 48), 48), colon_extent = km(co, "extent", c(5, 20, 45), 30))

cal <- function(d, right, t, g) {
  f <- as.formula(paste("Surv(time, status) ~", right)); m <- coxph(f, d, x = TRUE, y = TRUE, control = exact); p <- nums(summary(survfit(m, newdata = d), times = t)$surv)
  k <- groupkm(p, Surv(d$time, d$status), u = t, m = nrow(d) %/% g); s <- Score(list(m = matrix(1 - p, ncol = 1)), Hist(time, status) ~ 1, data = data.frame(d), times = t, metrics = c("brier", "auc"), cens.model = "km", conf.int = TRUE)
  rows <- function(x) lapply(seq_len(nrow(x)), function(i) as.list(x[i, ])); b <- as.data.frame(s$Brier$score); b$model <- as.character(b$model); a <- as.data.frame(s$AUC$score); a$model <- as.character(a$model)
  pe <- pec::pec(list(cox = m), Hist(time, status) ~ 1, data = d, exact = TRUE, cens.model = "marginal", verbose = FALSE)
  list(input = cbind(d[c("time", "status")], pred_surv = p, d[all.vars(f)[-(1:2)]]), values = list(formula = paste("Surv(time, status) ~", right), t = t, groups = g, groupkm = unname(unclass(k)[, 1:5]), brier = rows(b), auc = rows(a),
    pec_times = pe$time[-1], pec_cox = pe$AppErr$cox, pec_reference = pe$AppErr$Reference))
}
out$calibration <- list(pbc = cal(pb, "age + lb + albumin", 1500, 4), gbsg = cal(gb, "age + nodes + pgr + hormon", 36, 5))

auc <- function(d, a, b, times) {
  d$m1 <- a; d$m2 <- b; s <- Score(list(m1 = matrix(a, length(a), length(times)), m2 = matrix(b, length(b), length(times))), Hist(time, status) ~ 1, data = data.frame(d), times = times, metrics = "auc", cens.model = "km", conf.int = TRUE, null.model = FALSE)
  rows <- function(x) { x <- as.data.frame(x); for (k in c("model", "reference")) if (k %in% names(x)) x[[k]] <- as.character(x[[k]]); lapply(seq_len(nrow(x)), function(i) as.list(x[i, ])) }
  list(input = list(time = d$time, status = d$status, marker = a, marker2 = b), values = list(times = times, riskRegression_Score_AUC = rows(s$AUC$score), riskRegression_Score_contrasts = rows(s$AUC$contrasts)))
}
u <- function(x) (x - min(x) + .01) / (max(x) - min(x) + .02)
out$timeroc <- list(pbc = auc(pb, u(pb$lb), u(-pb$albumin), c(700, 1500, 2500)), gbsg_ties = auc(gb, u(gb$nodes), u(gb$grade + 0), c(12, 30, 48)))

mx <- function(d, x, lo) {
  f <- as.formula(paste("Surv(time, status) ~", x)); p <- function(k) maxstat.test(f, d, smethod = "LogRank", pmethod = k, minprop = lo, maxprop = 1 - lo); m <- p("none"); high <- d[[x]] > m$estimate
  s <- survdiff(Surv(time, status) ~ high, d)
  list(input = d[c("time", "status", x)], values = list(variable = x, minprop = lo, maxprop = 1 - lo, Lau92 = p("Lau92")$p.value, Lau94 = p("Lau94")$p.value, exactGauss = nums(p("exactGauss")$p.value), statistic = unname(m$statistic), cutpoint = unname(m$estimate),
    naive_logrank_chisq = s$chisq, naive_logrank_p = pchisq(s$chisq, 1, lower.tail = FALSE), naive_HR = unname(exp(coef(coxph(Surv(time, status) ~ high, d, control = exact))))))
}
out$maxstat <- list(pbc_albumin = mx(pb, "albumin", .1), gbsg_age = mx(gb, "age", .15), colon_nodes_ties = mx(co, "nodes", .2))

lasso <- function(d, columns, alpha, standardize = TRUE) {
  x <- as.matrix(d[columns]); y <- Surv(d$time, d$status); fold <- rep(1:7, length.out = nrow(d)); go <- function(...) cv.glmnet(x, y, family = "cox", alpha = alpha, foldid = fold, standardize = standardize, thresh = 1e-14, maxit = 1e6, ...)
  c1 <- go(); c2 <- go(grouped = FALSE); c3 <- go(type.measure = "C"); g <- c1$glmnet.fit
  list(input = d, columns = columns, values = list(n = nrow(x), p = ncol(x), alpha = alpha, standardize = standardize, foldid = fold, lambda_max = g$lambda[1], nulldev = g$nulldev, lambda_min = c1$lambda.min, ungrouped_lambda_min = c2$lambda.min,
    link_at_lambda_min = nums(predict(g, x, s = c1$lambda.min, exact = FALSE)), lambda_1se = c1$lambda.1se, C_lambda_min = c3$lambda.min, C_lambda_1se = c3$lambda.1se, coef_lambda_min = as.list(coef(c1, s = "lambda.min")[, 1]),
    lambda = g$lambda, cvm = c1$cvm, cvsd = c1$cvsd, cvm_C = c3$cvm, ungrouped_cvm = c2$cvm))
}
small <- transform(pb, time = time / 1000)
out$lasso_cox <- list(pbc = lasso(small, c("age", "lb", "albumin", "edema", "pro", "copper", "platelet"), 1), gbsg_months = lasso(gb, c("age", "size", "nodes", "pgr", "er", "hormon", "grade", "meno"), 1))
out$elasticnet_cox <- list(gbsg_half = lasso(gb, c("age", "size", "nodes", "pgr", "er", "hormon", "grade", "meno"), .5), pbc_ridge_nostd = lasso(small, c("age", "lb", "albumin", "edema", "pro"), 0, FALSE))
h <- co; hx <- as.matrix(h[c("age", "nodes", "extent", "sex")]); tied <- function(k) as.list(coef(coxph(Surv(h$time, h$status) ~ hx, ties = k, control = exact)))

response <- function(x, y, family, fold, measures, alpha = 1) {
  go <- function(m) suppressWarnings(cv.glmnet(x, y, family = family, alpha = alpha, foldid = fold, type.measure = m, thresh = 1e-14, maxit = 1e7)); g <- go(measures[1])$glmnet.fit
  v <- list(family = family, alpha = alpha, foldid = fold, lambda = g$lambda, df = g$df, dev_ratio = g$dev.ratio)
  for (m in measures) { k <- go(m); v[[paste0("cv_", m)]] <- list(cvm = k$cvm, cvsd = k$cvsd, nzero = unname(k$nzero), lambda_min = k$lambda.min, lambda_1se = k$lambda.1se, coef_min = nums(coef(k, s = "lambda.min")), coef_1se = nums(coef(k, s = "lambda.1se"))) }
  list(input = list(x = unname(x), y = y), values = v)
}
bx <- as.matrix(birthwt[c("age", "lwt", "race", "smoke", "ptl", "ht", "ui", "ftv")]); four <- c("deviance", "auc", "mse", "class")
out$lasso_response <- list(birthwt = response(bx, birthwt$low, "binomial", rep(1:9, length.out = 189), four), birthwt_half = response(bx, birthwt$low, "binomial", rep(1:9, length.out = 189), four, .5),
  mtcars = response(as.matrix(mtcars[, -1]), mtcars$mpg, "gaussian", rep(1:8, 4), c("mse", "mae")), mtcars_net = response(as.matrix(mtcars[, -1]), mtcars$mpg, "gaussian", rep(1:8, 4), c("mse", "mae"), .7))

boost <- function(d, columns, depth, trees) {
  x <- d[columns]; g <- gbm.fit(x, Surv(d$time, d$status), distribution = "coxph", n.trees = trees, shrinkage = .1, interaction.depth = depth, n.minobsinnode = 10, bag.fraction = 1, nTrain = nrow(d), verbose = FALSE)
  at <- c(1, 10, trees); p <- sapply(at, function(k) predict(g, x, k)); ri <- relative.influence(g, trees, scale. = FALSE, sort. = FALSE); t1 <- pretty.gbm.tree(g, 1)
  list(input = d, columns = columns, values = list(n_trees = trees, shrinkage = .1, depth = depth, n_minobsinnode = 10, pred_at_trees = at, pred = unname(p), cindex = sapply(seq_along(at), function(k) unname(concordance(Surv(d$time, d$status) ~ p[, k], reverse = TRUE)$concordance)),
    train_error = g$train.error[at], initF = g$initF, top_influence = as.list(ri), first_tree = lapply(seq_len(nrow(t1)), function(i) as.list(t1[i, ]))))
}
out$gbm_cox <- list(pbc = boost(pb, c("age", "lb", "albumin", "edema", "pro"), 2, 50), gbsg_ties = boost(gb, c("age", "size", "nodes", "pgr", "er"), 1, 80))

step <- function(d, columns) {
  full <- coxph(as.formula(paste("Surv(time, status) ~", paste(columns, collapse = " + "))), d, control = exact); none <- coxph(Surv(time, status) ~ 1, d)
  one <- function(direction) { k <- stepAIC(if (direction == "forward") none else full, scope = if (direction == "forward") list(lower = ~1, upper = formula(full)) else formula(full), direction = direction, trace = 0)
    list(selected = attr(terms(k), "term.labels"), coef = as.list(coef(k)), AIC = AIC(k), logLik = nums(logLik(k)), path_step = as.character(k$anova$Step), path_AIC = k$anova$AIC) }
  list(input = d, values = list(k = 2, full = paste("Surv(time, status) ~", paste(columns, collapse = " + ")), both = one("both"), backward = one("backward"), forward = one("forward")))
}
d <- pb; out$stepaic_cox <- list(pbc = step(pb, c("age", "lb", "albumin", "edema", "pro", "copper", "platelet")), gbsg_ties = step(gb, c("age", "size", "nodes", "pgr", "er", "hormon", "grade", "meno")))
out$ties <- list(input = h, values = list(coxph_breslow = tied("breslow"), coxph_efron = tied("efron"), coxph_exact = tied("exact")))

clean <- function(k) if (is.data.frame(k)) lapply(as.list(k), clean) else if (is.list(k)) lapply(k, clean) else if (is.factor(k)) as.character(k) else if (is.numeric(k)) { k[!is.finite(k)] <- NA; k } else k
writeLines(toJSON(clean(out), digits = NA, auto_unbox = TRUE, na = "null"), gzfile("other_keys.json.gz"))
